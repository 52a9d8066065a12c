"""One thread that reads many live sources: woken when pictures are there, without a word between threads for any."""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from producers.sources.source import Arrivals, ArrivingSource

TICK_S = 0.2
LATE_S = 0.5
"""What lay in a socket while the reader did something else for longer than this is of no known time."""
BUFFER_BYTES = 256 << 10


class Guest(Protocol):
    """A camera whose source is read here. Only the reader's thread calls, and everything it calls should be quick."""

    @property
    def source(self) -> ArrivingSource:
        """Where its pictures arrive."""

    def take(self, arrivals: Arrivals) -> None:
        """Deal with what came."""

    def lose(self, arrivals: Arrivals) -> None:
        """Take in that what came is too old to deal with, because the reader was late."""

    def excuse(self) -> None:
        """Take in that the silence up to now was the reader's."""

    def tick(self) -> bool:
        """Take in that time passed; False where the source shall not be read any longer.

        Raises:
            SourceError: It was silent for too long.
        """


class _Seat:
    def __init__(self, guest: Guest, asked_at: float) -> None:
        self.guest = guest
        self.asked_at = asked_at
        self.late = False
        self.over = threading.Event()
        self.error: Exception | None = None


class SharedReader:
    """Reads the sources of its guests, each whenever something came; `serve` is called by one thread for each guest.

    Args:
        clock: Monotonic seconds.

    Attributes:
        name: Its thread's.
    """

    name = "shared-reader"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._arrivals: queue.SimpleQueue[_Seat] = queue.SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._seats: set[_Seat] = set()
        self._any_late = False
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._tick_at = clock()
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def serve(self, guest: Guest) -> None:
        """Read a guest's source until it says that it is over, or its source cannot be shared any longer.

        Raises:
            SourceError: What ended its source.
            RuntimeError: The reader was closed.
        """
        seat = _Seat(guest, self._clock())
        with self._guard:
            if self._closing.is_set():
                raise RuntimeError("the reader is closed")
            self._arrivals.put(seat)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._waker.send(b"\0")
        seat.over.wait()
        if seat.error is not None:
            raise seat.error

    @property
    def died(self) -> bool:
        """Whether the thread ended though nobody asked."""
        with self._guard:
            return self._thread is not None and not self._thread.is_alive() and self._waker.fileno() >= 0

    def close(self) -> None:
        """End the thread; guests that are still there get an error. May be called twice."""
        with self._guard:
            if self._waker.fileno() < 0:
                return
            self._closing.set()
            self._waker.send(b"\0")
        if self._thread is not None:
            self._thread.join()
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._turn(self._selector.select(TICK_S))
        finally:
            with self._guard:
                self._closing.set()
            self._admit()
            for seat in list(self._seats):
                self._end(seat, RuntimeError("the reader of this source ended"))

    def _turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        began = self._clock()
        self._forgive({key.data for key, _ in ready})
        for key, _ in ready:
            if key.data is None:
                self._admit()
            else:
                self._read(key.data)
            began = self._own_up(began)
        if began >= self._tick_at:
            self._tick_at = began + TICK_S
            for seat in list(self._seats):
                self._tick(seat)
                began = self._own_up(began)

    def _own_up(self, began: float) -> float:
        """Note it where guests have waited for too long since ``began``; gives the time from which they wait now."""
        now = self._clock()
        if now - began <= LATE_S:
            return began
        for seat in self._seats:
            self._make_late(seat)
        return now

    def _make_late(self, seat: _Seat) -> None:
        seat.late = self._any_late = True
        seat.guest.excuse()

    def _forgive(self, ready: set[_Seat | None]) -> None:
        """Whoever has nothing waiting at the first look after the reader was late gets fresh pictures from now on."""
        if self._any_late:
            for seat in self._seats - ready:
                seat.late = False
            self._any_late = any(seat.late for seat in self._seats)

    def _admit(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(64)
        while not self._arrivals.empty():
            seat = self._arrivals.get()
            self._seats.add(seat)
            if self._clock() - seat.asked_at > LATE_S:
                self._make_late(seat)
            try:
                self._selector.register(seat.guest.source.fileno(), selectors.EVENT_READ, seat)
            except (OSError, ValueError, KeyError) as error:
                self._end(seat, error)

    def _read(self, seat: _Seat) -> None:
        guest = seat.guest
        try:
            arrivals = guest.source.arrived(self._buffer)
            if seat.late:
                seat.late = not arrivals.drained
                guest.lose(arrivals)
            else:
                guest.take(arrivals)
            if not guest.source.shareable:
                self._end(seat)
        except Exception as error:  # noqa: BLE001 - one camera's fault is told to its own thread; the others go on
            self._end(seat, error)

    def _tick(self, seat: _Seat) -> None:
        try:
            if not seat.guest.tick():
                self._end(seat)
        except Exception as error:  # noqa: BLE001 - as above
            self._end(seat, error)

    def _end(self, seat: _Seat, error: Exception | None = None) -> None:
        self._seats.discard(seat)
        with suppress(KeyError, ValueError, OSError):  # it may never have been registered
            self._selector.unregister(seat.guest.source.fileno())
        seat.error = error
        seat.over.set()
