"""The judge counts people for statistics, tells of single persons only where it may, and forgets gone cameras."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.broker.ownership import Lease, PartitionState
from common.events import ViolationData
from common.schema import encode
from common.siteplan import SitePlan
from common.tally import Tally
from tests.judge_scenes import CAMERA, SESSION, Person, a_mark, a_result, entry_ms, play, said, scene, standing
from workers.judge.context import CameraContext, context_of
from workers.judge.desk import Desk
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
WINDOW_MS = 60_000


def a_context(mode: str = "full", **plan: Any) -> CameraContext:
    raw: dict[str, Any] = {
        "site": "s",
        "zones": [{"id": "left"}],
        "cameras": [{"id": CAMERA, "source": "x", "zones": {"left": LEFT}}],
        "incidents": [{"id": "crowd", "more_than": 0, "within_min": 1}],
        "privacy": {"mode": mode},
        "statistics": {"window_min": 1 if mode == "full" else 20},
    }
    return context_of(SitePlan.model_validate(raw | plan), CAMERA)


def judge_of(mode: str = "full", **plan: Any) -> CameraJudge:
    return CameraJudge(a_context(mode, **plan), CameraState())


def crossing(start: float, label: str, x: float) -> Person:
    return standing(label, start, start + 3, x=x)


PEOPLE = [
    crossing(0, "no_mask", 0.05),
    crossing(1, "mask", 0.95),
    crossing(2, "incorrect", 0.5),
    crossing(5, "unsure", 0.02),
]


def test_people_count_once_by_last_verdict_in_the_zones_where_they_were() -> None:
    judge = judge_of()
    play(judge, scene(PEOPLE, 60 - SESSION % WINDOW_MS / 1000 + 1))
    (tally,) = judge.tallies

    assert tally.persons == {"": [1, 1, 1, 1], "left": [0, 1, 1, 1], "-": [1, 0, 0, 0]}
    assert (tally.camera, tally.minutes, tally.start_ms % WINDOW_MS) == (CAMERA, 1, 0)


def test_somebody_in_view_counts_when_gone() -> None:
    judge = judge_of()
    play(judge, scene([standing("mask", 0, 100)], 165))

    assert [tally.persons.get("", [0])[0] for tally in judge.tallies] == [0, 0, 1]


def test_people_of_whom_no_mask_is_asked_do_not_count() -> None:
    judge = judge_of(policies=[{"id": "default", "required": False}])
    play(judge, scene(PEOPLE, 70))

    assert judge.tallies[0].persons == {}


def test_a_camera_is_up_while_it_gives_a_picture_that_can_be_judged() -> None:
    judge = judge_of()
    for second in range(0, 10, 2):
        judge.accept(a_mark(0, second), SESSION + second * 1000)
    judge.accept(a_mark(0, 10, "dark"), SESSION + 10_000)
    judge.accept(a_mark(0, 15, "online"), SESSION + 15_000)
    for second in range(16, 200):
        judge.tick(SESSION + second * 1000)

    assert sum(tally.up_s for tally in judge.tallies) == 10 + 8  # of the silence, the first 8 s are not noticed


def test_a_judge_that_takes_over_counts_on_exactly() -> None:
    whole, parts, tallies = judge_of(), judge_of(), []
    for result in scene(PEOPLE, 130):
        whole.accept(result, entry_ms(result))
        stored = parts.state.to_bytes()
        parts = CameraJudge(parts.context, CameraState.from_bytes(stored))
        parts.accept(result, entry_ms(result))
        tallies += parts.tallies

    assert tallies == whole.tallies
    assert len(tallies) == 2


def test_a_state_that_knows_no_census_yet_is_read() -> None:
    stored = json.loads(CameraState().to_bytes())
    del stored["y"]

    assert CameraState.from_bytes(json.dumps(stored).encode()).census.start_ms == 0


@pytest.mark.parametrize("at", ["site", "camera"])
def test_where_only_counts_may_arise_nobody_is_told_of(at: str) -> None:
    camera = {"id": CAMERA, "source": "x", "privacy": "statistics", "zones": {"left": LEFT}}
    plan = {"cameras": [camera], "statistics": {"window_min": 20}} if at == "camera" else {}
    judge = judge_of("full" if at == "camera" else "statistics", **plan)
    events = play(judge, scene(PEOPLE, 30)) + judge.accept(a_mark(150, 30), SESSION + 31_000)

    assert said(events) == ["camera:online"]
    assert judge.state.census.persons[""] == [1, 1, 1, 1]


def test_a_live_change_to_counts_only_ends_what_is_open_first() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 30)
    before = play(judge, results[:50])
    judge.context = a_context("statistics")
    after = judge.tick(entry_ms(results[49])) + play(judge, results[50:])

    assert said(before) == ["started", "incident:opened:1"]
    assert said(after) == ["ended:policy_changed", "incident:closed:0"]
    (ended,) = [event.data for event in after if isinstance(event.data, ViolationData)]
    assert ended.ended_at is not None


def test_back_in_full_mode_people_are_told_of_again() -> None:
    judge = judge_of("statistics")
    results = scene([standing("no_mask")], 30)
    play(judge, results[:50])
    judge.context = a_context()

    assert said(play(judge, results[50:]))[0] == "started"


def a_desk(mode: str) -> Desk:
    return Desk(Lease(0, "me", 1), 1, PartitionState("1000-0", {}), lambda _: a_context(mode))


def test_tallies_are_part_of_the_commit() -> None:
    desk = a_desk("full")
    for result in scene(PEOPLE, 70):
        desk.take([(f"{entry_ms(result)}-0", encode(result))])
    step = desk.due(SESSION + 70_000, 600_000, 1000)

    assert step is not None
    (tally,) = [Tally.model_validate_json(raw) for raw in step.tallies]
    assert sum(tally.persons[""]) > 0
    desk.committed(step)
    assert desk.tallies == []


@pytest.mark.parametrize(("mode", "kept_ms"), [("full", 600_000), ("statistics", 10_000)])
def test_judged_results_go_after_seconds_where_only_counts_may_arise(mode: str, kept_ms: int) -> None:
    desk = a_desk(mode)
    last = a_result(0)
    desk.take([(f"{entry_ms(last)}-0", encode(last))])
    step = desk.due(entry_ms(last), 600_000, 1000)
    assert step is not None
    assert (step.trim_before_ms, step.trim_exactly) == (entry_ms(last) - kept_ms, mode == "statistics")
    desk.committed(step)
    later = desk.due(entry_ms(last) + 11_000, 600_000, 1000)

    if mode == "full":
        assert later is None
        return
    assert later is not None  # though nothing else came, so that the last one goes, too
    assert later.read_to == f"{entry_ms(last)}-1"
    desk.committed(later)
    assert desk.due(entry_ms(last) + 12_000, 600_000, 1000) is None


def test_a_camera_that_left_the_plan_is_forgotten_after_a_while() -> None:
    desk = a_desk("full")
    desk.take([("1001-0", encode(a_mark(0, 0)))])
    step = desk.due(2000, 0, 1000)
    assert step is not None
    desk.committed(step)
    desk.forget(90_000, 60_000, lambda _: True)
    assert desk.due(90_000, 0, 1000) is None
    desk.forget(50_000, 60_000, lambda _: False)
    assert desk.due(90_000, 0, 1000) is None
    desk.forget(190_000, 60_000, lambda _: False)
    gone = desk.due(190_000, 0, 1000)

    assert gone is not None
    assert (gone.removed, gone.states) == ([CAMERA], {})
    desk.committed(gone)
    assert desk.due(190_000, 0, 1000) is None
