"""What keeps an infer worker honest: its holdings, its progress and its clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest

from common.broker.frames.entries import FrameEntry
from common.errors import BrokerUnavailableError
from common.schema import CameraMark, CameraState, FrameHeader, encode
from tests.waiting import until
from workers.infer.arrivals import sort_entries
from workers.infer.brokerclock import SYNC_EVERY_S, BrokerClock
from workers.infer.flight import Flight
from workers.infer.holdings import Holdings
from workers.infer.keeper import Keeper
from workers.infer.patience import Backoff
from workers.infer.progress import Progress

HEADER = encode(FrameHeader(session=1, seq=0, captured_at=1.0, width=320, height=192))
MARK = encode(CameraMark(session=1, next_seq=0, at=1.0, state=CameraState.ONLINE, since=1.0))


def entry(camera: str, number: int, header: bytes | None = HEADER, deliveries: int = 1) -> FrameEntry:
    return FrameEntry(camera, 0, f"{number}-0", header, b"", deliveries)


def test_entries_are_sorted_by_what_must_be_done_with_them() -> None:
    found = sort_entries(
        [
            entry("a", 1),
            entry("a", 2, MARK),
            entry("a", 3, None),
            entry("a", 4, b"[]"),
            entry("a", 5, deliveries=2),
            entry("a", 6, HEADER.replace(b'"v":1', b'"v":2')),
            entry("a", 7, HEADER + b" " * 20_000),
        ]
    )
    assert [frame.entry.entry_id for frame in found.frames] == ["1-0"]
    assert [frame.entry.entry_id for frame in found.suspects] == ["5-0"]
    assert [mark.entry.entry_id for mark in found.marks] == ["2-0"]
    assert [(one.entry_id, error.reason) for one, error in found.foreign] == [
        ("3-0", "fields"),
        ("4-0", "schema"),
        ("6-0", "version"),
        ("7-0", "fields"),
    ]


def test_a_mark_waits_for_the_frames_before_it_of_its_own_camera_only() -> None:
    holdings = Holdings()
    holdings.take(sort_entries([entry("a", 1), entry("a", 2, MARK), entry("a", 3), entry("b", 4, MARK)]))
    assert [mark.entry.camera for mark in holdings.ready_marks()] == ["b"]
    assert holdings.ready_marks() == []
    holdings.let_go([entry("a", 3), entry("b", 4)])
    assert holdings.ready_marks() == []
    assert len(holdings.entries()) == 2
    holdings.let_go([entry("a", 1)])
    assert [mark.entry.entry_id for mark in holdings.ready_marks()] == ["2-0"]
    assert holdings.entries() == [entry("a", 2, MARK)], "a mark that is not written yet is still in hand"
    holdings.let_go([entry("a", 2)])
    assert holdings.entries() == []


def test_a_mark_waits_for_an_earlier_one_that_is_not_written_yet() -> None:
    holdings = Holdings()
    holdings.take(sort_entries([entry("a", 1, MARK)]))
    assert len(holdings.ready_marks()) == 1
    holdings.take(sort_entries([entry("a", 2, MARK)]))
    assert holdings.ready_marks() == []
    holdings.let_go([entry("a", 1)])
    assert [mark.entry.entry_id for mark in holdings.ready_marks()] == ["2-0"]


def test_an_entry_in_hand_is_not_taken_twice() -> None:
    holdings = Holdings()
    holdings.take(sort_entries([entry("a", 1), entry("a", 2, MARK)]))
    assert holdings.unknown([entry("a", 1), entry("a", 2), entry("b", 1), entry("a", 3)]) == [
        entry("b", 1),
        entry("a", 3),
    ]


def test_progress_names_the_activity_that_stopped() -> None:
    progress = Progress()
    assert progress.stalled(1000.0, 60) == ""
    progress.beat("loop", 0.0)
    progress.beat("batch", 0.0)
    progress.beat("loop", 70.0)
    assert progress.stalled(70.0, 60) == "batch has not moved for 70 s"
    progress.renew("batch", 70.0)
    assert progress.stalled(71.0, 60) == ""
    progress.rest("batch")
    progress.renew("batch", 71.0)
    assert progress.stalled(131.0, 60) == "loop has not moved for 61 s"


def test_the_keeper_touches_what_is_in_hand_until_work_stops_moving() -> None:
    holdings, progress = Holdings(), Progress()
    holdings.take(sort_entries([entry("a", 1)]))
    touched: list[list[FrameEntry]] = []
    stalled: list[str] = []

    def touch(entries: Iterable[FrameEntry]) -> None:
        touched.append(list(entries))
        raise BrokerUnavailableError("timeout", "a broker that is away costs nothing")

    progress.beat("batch", time.monotonic())
    with Keeper(touch, holdings, progress, 0.02, 0.5, on_stall=stalled.append):
        until(lambda: len(touched) >= 2, 5)
        assert stalled == []
        until(lambda: stalled, 5)
    assert touched[0] == [entry("a", 1)]
    assert stalled[0].startswith("batch has not moved")


def test_the_clock_follows_the_broker_and_asks_it_seldom() -> None:
    asked: list[int] = []

    def read_ms() -> int:
        asked.append(1)
        return 5_000_000

    clock = BrokerClock(read_ms)
    assert abs(clock.now() - time.time()) < 1
    clock.sync(100.0)
    clock.sync(100.0 + SYNC_EVERY_S / 2)
    assert len(asked) == 1
    assert 5_000 <= clock.now() < 5_001
    clock.sync(100.0 + SYNC_EVERY_S)
    assert len(asked) == 2


def test_pauses_grow_to_two_seconds_and_start_small_again() -> None:
    backoff = Backoff()
    pauses = [backoff.next_s() for _ in range(12)]
    assert pauses[0] <= 0.05
    assert 1.0 <= pauses[-1] <= 2.0
    backoff.reset()
    assert backoff.next_s() <= 0.05


def test_a_flight_carries_its_answer_or_its_error() -> None:
    gate = threading.Event()
    flight = Flight(lambda: gate.wait(5) and 7)
    assert flight.wait(0) is False
    gate.set()
    assert flight.wait(5) is True
    assert flight.result() == 7
    failing: Flight[float] = Flight(lambda: 1 / 0)
    assert failing.wait(5)
    with pytest.raises(ZeroDivisionError):
        failing.result()
