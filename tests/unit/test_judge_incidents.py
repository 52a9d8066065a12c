"""More than so many people without a mask at one camera within so many minutes."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import SitePlanError
from common.events import IncidentData
from common.siteplan import SitePlan, parse_plan
from tests.judge_scenes import CAMERA, Person, entry_ms, play, said, scene, standing
from workers.judge.context import CameraContext, context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def a_context(**rule: Any) -> CameraContext:
    rules = [{"id": "crowd", "more_than": 2, "within_min": 1} | rule] if rule.get("id") != "none" else []
    plan = {
        "site": "s",
        "zones": [{"id": "left"}],
        "cameras": [{"id": CAMERA, "source": "x", "zones": {"left": LEFT}}],
        "incidents": rules,
    }
    return context_of(SitePlan.model_validate(plan), CAMERA)


def judge_of(**rule: Any) -> CameraJudge:
    return CameraJudge(a_context(**rule), CameraState())


def visitors(*starts: float, label: str = "no_mask", x: float = 0.02) -> list[Person]:
    """People who stand at the edge for three seconds each."""
    return [standing(label, start, start + 3, x=x) for start in starts]


def incidents_in(story: list[str]) -> list[str]:
    return [one for one in story if one.startswith("incident")]


def test_one_person_more_than_allowed_opens_and_time_closes() -> None:
    judge = judge_of()
    events = play(judge, scene(visitors(0, 10, 20, 30), 100))

    assert incidents_in(said(events)) == ["incident:opened:3", "incident:updated:4", "incident:closed:2"]
    told = [event for event in events if isinstance(event.data, IncidentData)]
    assert len({event.subject for event in told}) == 1
    assert len({event.id for event in told}) == 3
    assert [event.sequence for event in events] == [f"{number:012d}" for number in range(len(events))]
    closed = told[-1].data
    assert isinstance(closed, IncidentData)
    assert (closed.rule, closed.more_than, closed.within_ms, closed.peak) == ("crowd", 2, 60_000, 4)
    assert told[0].data.closed_at is None if isinstance(told[0].data, IncidentData) else False
    assert closed.closed_at == told[-1].time


def test_as_many_as_allowed_are_no_incident() -> None:
    assert incidents_in(said(play(judge_of(), scene(visitors(0, 10), 80)))) == []


def test_people_spread_over_more_time_are_no_incident() -> None:
    assert incidents_in(said(play(judge_of(), scene(visitors(0, 40, 80, 120), 200)))) == []


@pytest.mark.parametrize(("zone", "opened"), [("left", False), (None, True)])
def test_a_rule_with_a_zone_is_left_to_the_site_stage(zone: str | None, opened: bool) -> None:
    story = said(play(judge_of(zone=zone), scene(visitors(0, 10, 20), 60)))

    assert ("incident:opened:3" in story) is opened


def test_a_mask_worn_wrongly_counts_where_the_plan_says_so() -> None:
    crowd = visitors(0, 10, 20, label="incorrect")

    assert incidents_in(said(play(judge_of(), scene(crowd, 40)))) == []
    assert incidents_in(said(play(judge_of(verdicts=["no_mask", "incorrect"]), scene(crowd, 40)))) == [
        "incident:opened:3"
    ]


def test_a_person_who_becomes_worse_counts_from_then_on() -> None:
    def person(t: float) -> tuple[float, float, float, str] | None:
        return (0.4, 0.4, 0.08, "incorrect" if t < 5 else "no_mask") if t < 14 else None

    assert incidents_in(said(play(judge_of(more_than=0), scene([person], 14)))) == ["incident:opened:1"]


def test_a_rule_that_the_plan_drops_closes_its_incident() -> None:
    judge = judge_of()
    results = scene(visitors(0, 10, 20), 40)
    events = play(judge, results)
    judge.context = a_context(id="none")
    events += judge.tick(entry_ms(results[-1]))

    assert incidents_in(said(events)) == ["incident:opened:3", "incident:closed:0"]
    assert judge.state.incidents == {}


def test_the_end_of_a_source_closes_what_is_open() -> None:
    judge = judge_of()
    results = scene(visitors(0, 10, 20), 40)
    events = play(judge, results)

    assert incidents_in(said(events + judge.finish(entry_ms(results[-1])))) == [
        "incident:opened:3",
        "incident:closed:0",
    ]


def test_a_judge_that_takes_over_goes_on_exactly() -> None:
    results = scene(visitors(0, 6, 12, 18, 24), 110)
    whole, parts = judge_of(), judge_of()
    for result in results:
        stored = parts.state.to_bytes()
        parts = CameraJudge(parts.context, CameraState.from_bytes(stored))
        assert parts.state.to_bytes() == stored
        moment = entry_ms(result)
        assert [e.to_json() for e in parts.accept(result, moment)] == [
            e.to_json() for e in whole.accept(result, moment)
        ]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"zone": "lfet"}, "incidents[0].zone: there is no zone 'lfet'; did you mean 'left'?"),
        ({"more_than": -1}, "incidents[0].more_than: Input should be greater than or equal to 0"),
        ({"within_min": 0}, "incidents[0].within_min: Input should be greater than 0"),
        ({"within": 3}, "incidents[0].within: unknown key; did you mean 'within_min'?"),
    ],
)
def test_a_bad_rule_names_the_key(rule: dict[str, Any], complaint: str) -> None:
    raw = {
        "site": "s",
        "zones": [{"id": "left"}],
        "incidents": [{"id": "crowd", "more_than": 2, "within_min": 1} | rule],
    }
    with pytest.raises(SitePlanError) as caught:
        parse_plan(raw, "site.yaml")
    assert complaint in str(caught.value)
