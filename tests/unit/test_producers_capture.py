"""The reading thread of a source: newest wins, nothing lost where it may wait, and a hanging source left behind."""

from __future__ import annotations

import threading

import pytest

from common.errors import FrameRejectedError, NotAVideoError, SourceEndedError
from producers.capture import Capture
from producers.ledger import Drop
from producers.sources.source import SourceFrame
from tests.waiting import until


class Numbers:
    """A source that counts: ``captured_at`` is 0, 1, 2, …; then it ends, or hangs until it is let go."""

    def __init__(self, count: int, *, live: bool, hang: bool = False, broken: bool = False) -> None:
        self.live = live
        self.closed = threading.Event()
        self.let_go = threading.Event()
        self.delivered = 0
        self._count = count
        self._hang = hang
        self._broken = broken

    def read(self) -> SourceFrame | None:
        if self._broken:
            raise FrameRejectedError("magic", "no JPEG")
        if self.delivered == self._count:
            if self._hang:
                self.let_go.wait(20)
                return None
            raise SourceEndedError("the end")
        self.delivered += 1
        return SourceFrame(float(self.delivered - 1), 16, 16, jpeg=b"")

    def close(self) -> None:
        self.closed.set()


def test_of_a_live_source_the_newest_picture_wins_and_the_others_are_counted() -> None:
    source = Numbers(10, live=True, hang=True)
    capture = Capture(lambda: source, "test")
    until(lambda: source.delivered == 10, 5)
    until(lambda: capture._slot is not None and capture._slot.captured_at == 9, 5)
    frame = capture.next(1)
    assert frame is not None
    assert frame.captured_at == 9
    assert capture.take_lost() == {Drop.BUSY: 9}
    assert capture.take_lost() == {}
    source.let_go.set()
    capture.abandon()
    assert capture.join(5)


def test_of_any_other_source_every_picture_is_given_and_then_its_end() -> None:
    source = Numbers(20, live=False)
    capture = Capture(lambda: source, "test")
    given = [frame.captured_at for _ in range(20) if (frame := capture.next(2))]
    assert given == list(range(20))
    with pytest.raises(SourceEndedError):
        capture.next(2)
    assert source.closed.is_set()
    assert capture.take_lost() == {}


def test_a_source_that_hangs_keeps_nobody_waiting_and_is_closed_by_its_own_thread_later() -> None:
    source = Numbers(0, live=True, hang=True)
    capture = Capture(lambda: source, "test")
    assert capture.next(0.05) is None
    capture.abandon()
    assert not capture.join(0.05)
    assert not source.closed.is_set()
    source.let_go.set()
    assert capture.join(5)
    assert source.closed.is_set()


def test_a_source_that_waits_for_its_reader_lets_go_when_abandoned() -> None:
    source = Numbers(5, live=False)
    capture = Capture(lambda: source, "test")
    until(lambda: capture._slot is not None, 5)
    capture.abandon()
    assert capture.join(5)
    assert capture.take_lost() == {Drop.STOPPED: 1}


def test_a_source_of_nothing_but_broken_pictures_is_given_up() -> None:
    source = Numbers(5, live=False, broken=True)
    capture = Capture(lambda: source, "test")
    with pytest.raises(NotAVideoError, match="nothing but broken"):
        capture.next(10)
    assert capture.take_lost() == {Drop.BROKEN: 50}


def test_whatever_opening_raises_reaches_the_camera() -> None:
    def opener() -> Numbers:
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError):
        Capture(opener, "test").next(5)
