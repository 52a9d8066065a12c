"""One partition in memory: what is committed, how far, and who holds which partition."""

from __future__ import annotations

import pytest

from common.broker.ownership import Lease, PartitionState
from common.schema import encode
from tests.judge_scenes import CAMERA, a_mark, a_result, the_context
from workers.judge.context import CameraContext
from workers.judge.desk import CALM_STEP_MS, Desk
from workers.judge.seats import fair_share
from workers.judge.state import read_accounting

START = "1000-0"


def a_context(camera: str) -> CameraContext:
    return the_context()


def a_desk(**cameras: bytes) -> Desk:
    return Desk(Lease(0, "me", 1), 1, PartitionState(START, cameras), a_context)


def test_where_nothing_happened_nothing_is_committed() -> None:
    desk = a_desk()
    desk.take([])
    desk.tick(5000)

    assert desk.due(5000, 0, 1000) is None


def test_a_commit_holds_events_states_and_position() -> None:
    desk = a_desk()
    desk.take([("1001-0", encode(a_mark(0, 0))), ("1002-0", encode(a_result(0)))])
    step = desk.due(700_000, 600_000, 1000)

    assert step is not None
    assert (step.from_offset, step.to_offset, step.trim_before_ms) == (START, "1002-0", 100_000)
    assert [record.camera for record in step.events] == [CAMERA]
    assert read_accounting(step.states[CAMERA]).processed == 1
    events, tally = desk.committed(step)
    assert len(events) == 1
    assert tally.outcomes == {"mark": 1, "ok": 1}
    assert desk.due(700_000, 600_000, 1000) is None


@pytest.mark.parametrize(
    ("waiting_id", "stored"), [("1002-5", "1002-4"), ("1002-0", f"1001-{2**64 - 1}"), ("1000-1", "1000-0")]
)
def test_the_position_stays_below_what_waits(waiting_id: str, stored: str) -> None:
    desk = a_desk()
    desk.take([(waiting_id, encode(a_result(1))), ("1003-0", encode(a_mark(0, 0)))])
    step = desk.due(2000, 0, 1000)

    assert step is not None
    assert step.to_offset == stored
    assert desk.cursor == "1003-0"


def test_time_alone_can_make_a_commit_due() -> None:
    desk = a_desk()
    desk.take([("1001-0", encode(a_result(1)))])
    first = desk.due(2000, 0, 1000)
    assert first is not None
    desk.committed(first)
    desk.tick(1400)
    step = desk.due(2000, 0, 1000)

    assert step is not None
    assert step.to_offset == "1001-0"
    assert read_accounting(step.states[CAMERA]).dropped == {"trimmed": 1}
    assert desk.committed(step)[1].trimmed == {CAMERA: 1}


def test_foreign_entries_move_the_position_and_leave_a_letter() -> None:
    desk = a_desk()
    desk.take([("1001-0", b"{}"), ("1002-0", b"")])
    step = desk.due(2000, 0, 1000)

    assert step is not None
    assert (step.to_offset, step.states, step.events) == ("1002-0", {}, [])
    assert [(letter.entry_id, letter.reason) for letter in desk.take_letters()] == [
        ("1001-0", "schema"),
        ("1002-0", "fields"),
    ]
    assert desk.take_letters() == []


def test_a_state_that_cannot_be_read_starts_over() -> None:
    desk = a_desk(**{CAMERA: b"junk"})
    desk.take([("1001-0", encode(a_result(0)))])
    step = desk.due(2000, 0, 1000)

    assert step is not None
    assert read_accounting(step.states[CAMERA]).processed == 1


@pytest.mark.parametrize(
    ("judges", "shares"),
    [(["a"], [16]), (["a", "b"], [8, 8]), (["a", "b", "c"], [6, 5, 5]), ([f"j{n:02d}" for n in range(20)], None)],
)
def test_judges_share_all_partitions_evenly(judges: list[str], shares: list[int] | None) -> None:
    found = [fair_share(judges, me, 16) for me in judges]

    assert sum(found) == 16
    assert max(found) - min(found) <= 1
    assert shares is None or found == shares


def test_a_judge_without_a_seat_yet_counts_itself() -> None:
    assert fair_share(["a", "b"], "c", 9) == 3


def test_where_nothing_goes_on_time_passes_in_steps_and_a_broker_clock_set_back_stops_nothing() -> None:
    desk = a_desk()
    desk.take([("1000000-0", encode(a_mark(0, 0)))])
    desk.events.clear()
    desk.tick(1_000_000)
    desk.tick(1_000_000 + CALM_STEP_MS - 1)
    assert not desk.events
    desk.tick(1_008_100)
    assert [event.type for event in desk.events] == ["maskwatch.camera.status.v1"], "silence is noticed"
    desk.take([("1008200-0", encode(a_mark(0, 8)))])
    desk.events.clear()
    desk.tick(2_000_000)
    assert len(desk.events) == 1
    desk.take([("2000001-0", encode(a_mark(0, 9)))])
    desk.events.clear()
    desk.tick(500_000)
    desk.tick(2_000_000 + 8100)
    assert len(desk.events) == 1


def test_a_result_that_waits_for_an_earlier_one_is_not_kept_for_a_whole_step() -> None:
    desk = a_desk()
    desk.take([("1000000-0", encode(a_result(0))), ("1000010-0", encode(a_result(2)))])
    desk.tick(1_000_020)
    assert desk.due(1_000_020, 0, 1000).to_offset == "1000009-18446744073709551615"  # type: ignore[union-attr]
    desk.tick(1_000_020 + 300)
    assert desk.due(1_000_320, 0, 1000).to_offset == "1000010-0"  # type: ignore[union-attr]
