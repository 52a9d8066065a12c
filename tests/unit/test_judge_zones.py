"""Zones and hours before the whole judge of one camera."""

from __future__ import annotations

from typing import Any

import pytest

from common.events import ViolationData
from common.siteplan import SitePlan
from tests.judge_scenes import CAMERA, Person, entry_ms, play, said, scene, standing
from workers.judge.context import CameraContext, context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

LEFT = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
MIDDLE = [(0.3, 0.0), (0.7, 0.0), (0.7, 1.0), (0.3, 1.0)]
EXEMPT: list[dict[str, Any]] = [{"id": "default"}, {"id": "staff", "version": 4, "required": False}]


def a_context(zones: list[dict[str, Any]], **camera: Any) -> CameraContext:
    policies = camera.pop("policies", EXEMPT)
    polygons = {"left": LEFT, "middle": MIDDLE}
    drawn = {zone["id"]: polygons[zone["id"]] for zone in zones}
    cameras = [{"id": CAMERA, "source": "x", "zones": drawn} | camera]
    return context_of(
        SitePlan.model_validate({"site": "s", "cameras": cameras, "zones": zones, "policies": policies}), CAMERA
    )


def judge_of(*zones: dict[str, Any], **camera: Any) -> CameraJudge:
    return CameraJudge(a_context(list(zones), **camera), CameraState())


def walking(label: str, from_x: float, to_x: float, start_s: float, end_s: float, gone_s: float = 1e9) -> Person:
    """Somebody who stands at ``from_x``, walks between two times, then stands at ``to_x``."""

    def person(t: float) -> tuple[float, float, float, str] | None:
        share = min(1.0, max(0.0, (t - start_s) / (end_s - start_s)))
        return (from_x + share * (to_x - from_x), 0.4, 0.08, label) if t < gone_s else None

    return person


def data_of(events: list[Any]) -> list[ViolationData]:
    return [event.data for event in events if isinstance(event.data, ViolationData)]


def test_a_zone_is_told_in_every_event_with_its_policy() -> None:
    judge = judge_of({"id": "left", "policy": "strict"}, policies=[{"id": "default"}, {"id": "strict", "version": 7}])
    events = play(judge, scene([standing("no_mask", 0, 3, x=0.2)], 10))

    assert said(events) == ["started", "ended:track_lost"]
    for data in data_of(events):
        assert (data.zones.current, data.zones.entered) == (["left"], ["left"])
        assert (data.policy.id, data.policy.version) == ("strict", 7)
    assert data_of(events)[1].zones.dwell_ms == 2800


def test_nobody_violates_in_an_exempt_zone() -> None:
    judge = judge_of({"id": "left", "policy": "staff"})

    assert play(judge, scene([standing("no_mask", 0, 8, x=0.2)], 14)) == []
    assert said(play(judge_of({"id": "left", "policy": "staff"}), scene([standing("no_mask", 0, 8, x=0.8)], 14))) == [
        "started",
        "ended:track_lost",
    ]


def test_a_required_zone_in_an_exempt_camera_is_where_violations_begin() -> None:
    judge = judge_of({"id": "left", "policy": "default"}, policy="staff")
    events = play(judge, scene([walking("no_mask", 0.9, 0.2, 3, 8, 10)], 16))
    started, ended = data_of(events)

    assert said(events) == ["started", "ended:track_lost"]
    assert started.started_at >= "2026-09-21T14:13:25.8"  # at the line, not when the person came into view
    assert started.policy.id == ended.policy.id == "default"


def test_going_into_an_exempt_zone_ends_the_episode_and_coming_out_begins_another() -> None:
    judge = judge_of({"id": "left", "policy": "staff"}, policies=[{"id": "default", "cooldown_s": 0}, EXEMPT[1]])

    def person(t: float) -> tuple[float, float, float, str] | None:
        x = 0.8 - 0.1 * t if t < 6 else 0.2 + 0.1 * (t - 6)
        return (x, 0.4, 0.08, "no_mask") if t < 12 else None

    events = play(judge, scene([person], 18))

    assert said(events) == ["started", "ended:zone_entered", "started", "ended:track_lost"]
    assert data_of(events)[1].policy == data_of(events)[1].policy.model_copy(update={"id": "staff", "version": 4})
    assert len({event.subject for event in events}) == 2


def test_zones_without_a_policy_are_told_as_they_change() -> None:
    judge = judge_of({"id": "left"}, {"id": "middle"})
    events = play(judge, scene([walking("no_mask", 0.1, 0.9, 2, 10, 13)], 18))

    assert said(events) == [
        "started",
        "updated:zone_entered",
        "updated:left_zone",
        "updated:left_zone",
        "ended:track_lost",
    ]
    assert [data.zones.current for data in data_of(events)] == [["left"], ["left", "middle"], ["middle"], [], []]
    assert data_of(events)[-1].zones.entered == ["left", "middle"]
    assert data_of(events)[1].changes == ["zones"]
    assert len({event.subject for event in events}) == 1


@pytest.mark.parametrize(
    ("inertia", "told"), [({"inertia_frames": 1, "inertia_s": 0}, True), ({"inertia_s": 1.5}, False)]
)
def test_a_step_over_the_line_and_back_is_no_visit(inertia: dict[str, Any], told: bool) -> None:
    judge = judge_of({"id": "left"} | inertia)

    def person(t: float) -> tuple[float, float, float, str] | None:
        return (0.47 if 3 <= t < 4 else 0.53, 0.4, 0.08, "no_mask") if t < 8 else None

    story = said(play(judge, scene([person], 14)))

    assert ("updated:zone_entered" in story) is told
    assert story[0] == "started"


def test_nothing_starts_while_somebody_may_be_entering_an_exempt_zone() -> None:
    """Slow inertia, and the violation becomes sure while it runs."""
    judge = judge_of({"id": "left", "policy": "staff", "inertia_s": 2})

    def person(t: float) -> tuple[float, float, float, str] | None:
        return (0.53 if t < 0.3 else 0.47, 0.4, 0.08, "no_mask") if t < 8 else None

    assert play(judge, scene([person], 14)) == []


def test_the_test_point_decides() -> None:
    low = [(0.0, 0.45), (1.0, 0.45), (1.0, 1.0), (0.0, 1.0)]  # the face reaches from 0.31 to 0.49

    def zones_seen(test_point: str) -> list[str]:
        plan = {
            "site": "s",
            "zones": [{"id": "low", "test_point": test_point}],
            "cameras": [{"id": CAMERA, "source": "x", "zones": {"low": low}}],
        }
        judge = CameraJudge(context_of(SitePlan.model_validate(plan), CAMERA), CameraState())
        return data_of(play(judge, scene([standing("no_mask")], 2)))[0].zones.current

    assert [zones_seen(point) for point in ("bottom", "centre", "top")] == [["low"], [], []]


def test_where_zones_overlap_the_first_one_with_a_policy_decides() -> None:
    zones = [{"id": "middle"}, {"id": "left", "policy": "staff"}]

    assert play(judge_of(*zones), scene([standing("no_mask", x=0.4)], 6)) == []
    strict_first = [{"id": "middle", "policy": "default"}, {"id": "left", "policy": "staff"}]
    assert said(play(judge_of(*strict_first), scene([standing("no_mask", x=0.4)], 6))) == ["started"]


def test_a_plan_that_asks_for_nothing_more_ends_open_episodes_once() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 6)
    events = play(judge, results[:15])
    judge.context = a_context([], policy="staff")
    events += judge.tick(entry_ms(results[15]))
    events += play(judge, results[15:])

    assert said(events) == ["started", "ended:policy_changed"]
    assert data_of(events)[1].policy.id == "staff"
    assert events[0].subject == events[1].subject


def test_a_renamed_policy_does_not_break_the_episode() -> None:
    judge = judge_of()
    results = scene([standing("no_mask", 0, 5)], 12)
    events = play(judge, results[:15])
    judge.context = a_context([], policies=[{"id": "renamed"}], policy="renamed")
    events += play(judge, results[15:])

    assert said(events) == ["started", "ended:track_lost"]
    assert events[0].subject == events[1].subject


def test_a_zone_that_the_plan_no_longer_has_is_left_without_noise() -> None:
    judge = judge_of({"id": "left"})
    results = scene([standing("no_mask", 0, 5, x=0.2)], 12)
    events = play(judge, results[:15])
    judge.context = a_context([])
    events += play(judge, results[15:])

    assert said(events) == ["started", "ended:track_lost"]
    assert data_of(events)[1].zones.current == []


def test_an_hour_that_begins_ends_the_episodes() -> None:
    """The scene begins at 14:13:20 UTC on a Monday."""
    hours = [{"days": ["mon"], "begin": "14:14", "end": "15:00", "required": False}]
    judge = judge_of(policies=[{"id": "default", "hours": hours}])
    events = play(judge, scene([standing("no_mask", 0, 60)], 60))

    assert said(events) == ["started", "ended:policy_changed"]
    assert "2026-09-21T14:14:00.000Z" <= events[1].time < "2026-09-21T14:14:00.500Z"
    assert data_of(events)[1].policy.required is False


def test_the_stored_state_knows_the_zones() -> None:
    zones: list[dict[str, Any]] = [{"id": "left"}, {"id": "middle", "policy": "staff", "inertia_s": 1}]
    results = scene([walking("no_mask", 0.1, 0.9, 2, 10, 13)], 18)
    whole, parts = judge_of(*zones), judge_of(*zones)
    for result in results:
        stored = parts.state.to_bytes()
        parts = CameraJudge(parts.context, CameraState.from_bytes(stored))
        assert parts.state.to_bytes() == stored
        moment = entry_ms(result)
        assert [e.to_json() for e in parts.accept(result, moment)] == [
            e.to_json() for e in whole.accept(result, moment)
        ]
