"""One thread that reads many sources: everything arrives, trouble stays where it is, and lateness is owned up to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from common.errors import SourceUnreachableError
from producers.sharedreader import LATE_S, SharedReader
from producers.sources.source import Arrivals, SourceFrame
from tests.waiting import until


class Bytes:
    """A source of which every byte is a picture, taken two at a time; ``!`` breaks it, ``.`` ends the sharing."""

    live = True

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.shareable = True

    def read(self) -> SourceFrame | None:
        return None

    def fileno(self) -> int:
        return self.near.fileno()

    def arrived(self, buffer: memoryview) -> Arrivals:
        count = self.near.recv_into(buffer[:2])
        got = bytes(buffer[:count])
        if b"!" in got:
            raise SourceUnreachableError("source: broke off")
        self.shareable = b"." not in got
        return Arrivals(tuple(SourceFrame(float(byte), 16, 16) for byte in got), 0, count < 2)

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Listener:
    """A guest that remembers what it was told, and does something at every picture if asked to."""

    def __init__(self, reader: SharedReader, at_picture: Callable[[], None] = lambda: None) -> None:
        self.source = Bytes()
        self.taken = b""
        self.lost = b""
        self.excused = 0
        self.going_on = True
        self.error: Exception | None = None
        self.threads: set[str] = set()
        self._at_picture = at_picture
        self._thread = threading.Thread(target=self._serve, args=(reader,))
        self._thread.start()

    def take(self, arrivals: Arrivals) -> None:
        self.threads.add(threading.current_thread().name)
        for frame in arrivals.frames:
            self.taken += bytes([int(frame.captured_at)])
            self._at_picture()

    def lose(self, arrivals: Arrivals) -> None:
        self.lost += bytes(int(frame.captured_at) for frame in arrivals.frames)

    def excuse(self) -> None:
        self.excused += 1

    def tick(self) -> bool:
        return self.going_on

    def _serve(self, reader: SharedReader) -> None:
        try:
            reader.serve(self)
        except Exception as error:
            self.error = error

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def leave(self) -> None:
        self.going_on = False
        self._thread.join(5)
        self.source.close()


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.added = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.added


class Room:
    """A reader and the guests that a test invites; they leave with it."""

    def __init__(self, reader: SharedReader) -> None:
        self.reader = reader
        self.guests: list[Listener] = []

    def invite(self, at_picture: Callable[[], None] = lambda: None) -> Listener:
        self.guests.append(Listener(self.reader, at_picture))
        return self.guests[-1]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Iterator[Room]:
    room = Room(SharedReader(clock))
    yield room
    for guest in room.guests:
        guest.leave()
    room.reader.close()


def test_everybody_gets_all_of_his_own_from_one_thread(room: Room) -> None:
    guests = [room.invite() for _ in range(20)]
    for _ in range(30):
        for number, guest in enumerate(guests):
            guest.source.far.send(bytes([65 + number]))
    until(lambda: all(len(guest.taken) == 30 for guest in guests), 5)
    assert [set(guest.taken) for guest in guests] == [{65 + number} for number in range(20)]
    assert {name for guest in guests for name in guest.threads} == {"shared-reader"}
    for guest in guests:
        guest.leave()
        assert guest.over
        assert guest.error is None


def test_what_breaks_one_source_reaches_its_own_caller_only(room: Room) -> None:
    broken, whole = room.invite(), room.invite()
    broken.source.far.send(b"!")
    until(lambda: broken.over, 5)
    assert isinstance(broken.error, SourceUnreachableError)
    whole.source.far.send(b"a")
    until(lambda: whole.taken == b"a", 5)


def test_a_fault_of_the_camera_itself_reaches_its_caller_too(room: Room) -> None:
    def fault() -> None:
        raise ZeroDivisionError("a fault of ours")

    guest = room.invite(fault)
    guest.source.far.send(b"a")
    until(lambda: guest.over, 5)
    assert isinstance(guest.error, ZeroDivisionError)


def test_a_source_that_cannot_be_shared_any_longer_is_given_back_after_its_picture(room: Room) -> None:
    guest = room.invite()
    guest.source.far.send(b".")
    until(lambda: guest.over, 5)
    assert (guest.taken, guest.error) == (b".", None)


def test_what_lay_waiting_while_the_reader_was_late_is_lost_and_what_comes_later_not(room: Room, clock: Clock) -> None:
    def dawdle() -> None:
        other.source.far.send(b"old")
        clock.added += 2 * LATE_S

    slow, other = room.invite(dawdle), room.invite()
    other.source.far.send(b"h")
    until(lambda: other.taken == b"h", 5)
    slow.source.far.send(b"a")
    until(lambda: other.lost == b"old", 5)
    assert other.excused == slow.excused == 1
    other.source.far.send(b"n")
    until(lambda: other.taken == b"hn", 5)


def test_nothing_is_lost_of_who_had_nothing_waiting_while_the_reader_was_late(room: Room, clock: Clock) -> None:
    def dawdle() -> None:
        clock.added += 2 * LATE_S

    slow, other = room.invite(dawdle), room.invite()
    other.source.far.send(b"h")
    until(lambda: other.taken == b"h", 5)
    slow.source.far.send(b"a")
    until(lambda: other.excused, 5)
    until(lambda: not anybody_is_late(room), 5)
    other.source.far.send(b"n")
    until(lambda: other.taken == b"hn", 5)
    assert other.lost == b""


def anybody_is_late(room: Room) -> bool:
    return any(seat.late for seat in list(room.reader._seats))


def test_what_came_while_a_new_guest_waited_at_the_door_is_lost_too(room: Room, clock: Clock) -> None:
    newcomers: list[Listener] = []

    def dawdle() -> None:
        newcomers.append(room.invite())
        until(lambda: not room.reader._arrivals.empty(), 5)
        newcomers[0].source.far.send(b"old")
        clock.added += 2 * LATE_S

    slow = room.invite(dawdle)
    slow.source.far.send(b"a")
    until(lambda: newcomers and newcomers[0].lost == b"old", 5)
    assert newcomers[0].taken == b""


def test_a_reader_that_breaks_tells_its_guests_and_whoever_asks(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = room.invite()
    guest.source.far.send(b"a")
    until(lambda: guest.taken == b"a", 5)
    assert not room.reader.died
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    monkeypatch.setattr(room.reader, "_turn", lambda _ready: 1 / 0)
    until(lambda: guest.over, 5)
    assert "ended" in str(guest.error)
    until(lambda: room.reader.died, 5)
    room.reader.close()
    assert not room.reader.died


def test_no_guest_waits_for_a_reader_that_was_closed(room: Room) -> None:
    guest = room.invite()
    guest.source.far.send(b"a")
    until(lambda: guest.taken == b"a", 5)
    room.reader.close()
    until(lambda: guest.over, 5)
    assert isinstance(guest.error, RuntimeError)
    late = room.invite()
    until(lambda: late.over, 5)
    assert "closed" in str(late.error)
