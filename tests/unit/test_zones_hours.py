"""A policy's weekly hours, in the plan and in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import SitePlanError
from common.hours import Calendar, Hours
from common.siteplan import Policy, SitePlan, load_plan, parse_plan
from workers.judge.ruling import Ruling


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def a_plan(*hours: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"site": "central", "policies": [{"id": "default", "hours": list(hours)}]} | rest


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (
            a_plan({"begin": "08:00", "end": "12:00"}, {"days": ["mon"], "begin": "11:30", "end": "13:00"}),
            "policies[0].hours[1]: overlaps hours[0] on mon 11:30",
        ),
        (
            a_plan({"days": ["sun"], "begin": "22:00", "end": "06:00"}, {"days": ["mon"], "begin": "05:00"}),
            "policies[0].hours[1]: overlaps hours[0] on mon 05:00",
        ),
        (a_plan({"begin": "25:00"}), "policies[0].hours[0].begin: String should match"),
        (a_plan({"begin": "8"}), "policies[0].hours[0].begin: String should match"),
        (a_plan({"days": ["monday"]}), "policies[0].hours[0].days[0]: Input should be 'mon', 'tue'"),
        (a_plan({"days": []}), "policies[0].hours[0].days: List should have at least 1 item"),
        (a_plan({"from": "08:00"}), "policies[0].hours[0].from: unknown key"),
        (a_plan(time_zone="Europe/Berlni"), "time_zone: there is no time zone 'Europe/Berlni'; did you mean"),
        (a_plan(time_zone="../etc"), "time_zone: there is no time zone '../etc'"),
    ],
)
def test_bad_hours_name_the_key(raw: object, complaint: str) -> None:
    with pytest.raises(SitePlanError) as caught:
        parse_plan(raw, "site.yaml")
    assert f"site.yaml: {complaint}" in str(caught.value)


def test_hours_that_touch_do_not_overlap() -> None:
    parse_plan(a_plan({"begin": "08:00", "end": "12:00"}, {"begin": "12:00", "end": "08:00"}), "x")


def test_times_need_no_quotes_in_yaml(tmp_path: Any) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: a\npolicies: [{id: default, hours: [{begin: 08:00, end: 18:30}]}]\n")
    (entry,) = load_plan(path).policies[0].hours

    assert (entry.begin, entry.end) == ("08:00", "18:30")


@pytest.mark.parametrize(
    ("moment", "entry"),
    [
        ("2026-01-05T07:00", 0),  # Monday 8:00 in Berlin, winter
        ("2026-01-05T06:59", -1),
        ("2026-07-06T06:00", 0),  # Monday 8:00 in Berlin, summer
        ("2026-07-06T16:00", -1),  # 18:00
        ("2026-07-06T15:59", 0),
        ("2026-07-11T20:30", 1),  # Saturday 22:30
        ("2026-07-12T20:30", 1),  # Sunday 22:30
        ("2026-07-13T03:59", 1),  # Monday 5:59, from Sunday night
        ("2026-07-13T04:00", -1),
        ("2026-03-29T00:30", 1),  # Sunday 1:30, the night in which the clock jumps
        ("2026-03-29T03:59", 1),  # 5:59, one hour later than the day before
        ("2026-03-29T04:00", -1),
    ],
)
def test_which_hours_apply(moment: str, entry: int) -> None:
    hours = [
        Hours(days=["mon", "fri"], begin="08:00", end="18:00"),
        Hours(days=["sat", "sun"], begin="22:00", end="06:00"),
    ]
    assert Calendar(hours, "Europe/Berlin").entry_at(ms(moment)) == entry


def test_a_ruling_changes_with_the_hour_and_says_so_in_the_policy() -> None:
    hours = [Hours(begin="08:00", end="18:00", required=False), Hours(begin="18:00", end="20:00", grace_s=5)]
    ruling = Ruling(Policy(id="hall", version=3, hours=hours, grace_s=1), "UTC")
    day, evening, night = (ruling.at(ms(f"2026-07-06T{hour}:00")) for hour in ("12", "19", "21"))

    assert [(one.rule.required, one.rule.grace_ms) for one in (day, evening, night)] == [
        (False, 1000),
        (True, 5000),
        (True, 1000),
    ]
    assert (day.policy.id, day.policy.version, day.policy.required, evening.policy.grace_ms) == ("hall", 3, False, 5000)
    assert ruling.at(ms("2026-07-06T12:00")) == day


def test_a_plan_with_hours_survives_the_broker() -> None:
    plan = parse_plan(a_plan({"days": ["mon"], "required": False}, time_zone="Asia/Tokyo"), "x")

    assert SitePlan.model_validate_json(plan.to_bytes()) == plan
