"""Which frames go into the next batch, and which are let go: pure, with time as an argument."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the batcher needs to know of a frame."""

    @property
    def camera(self) -> str:
        """Whose it is."""

    @property
    def published_at(self) -> float:
        """When the broker got it, broker seconds."""


F = TypeVar("F", bound=Waiting)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch leaves and what is let go.

    Attributes:
        max_size: Frames of a full batch.
        max_wait_s: Longest that the oldest frame waits for company, s.
        max_age_s: Frames older than this, s, are let go.
        max_waiting: More frames than this are never kept waiting: the newest of each camera stay, in fair shares.
    """

    max_size: int = 16
    max_wait_s: float = 0.02
    max_age_s: float = 2.0
    max_waiting: int = 32


@dataclass(frozen=True, slots=True)
class Shed(Generic[F]):
    """Frames to let go.

    Attributes:
        stale: Because of their age.
        overtaken: Because newer ones of their camera are waiting and there is no time for all.
    """

    stale: list[F]
    overtaken: list[F]


class Batcher(Generic[F]):
    """Groups frames so that the networks see full batches, no frame waits long, and no camera is starved.

    Within one camera frames always leave in the order of their arrival. Where there is no room for all, cameras that
    have waited longest for a place come first. Not thread-safe: one batcher for each loop.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._waiting: OrderedDict[int, tuple[float, F]] = OrderedDict()
        self._ticket = count()
        self._place = count(1)
        self._served: dict[str, int] = {}  # camera → number of the last place in a batch that it had

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, frames: Iterable[F], now: float) -> None:
        """Take frames in, at ``now`` in monotonic seconds."""
        for frame in frames:
            self._waiting[next(self._ticket)] = (now, frame)

    def due_in_s(self, now: float) -> float | None:
        """Say in how many seconds a batch leaves at the latest; None while nothing waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._limits.max_size:
            return 0.0
        arrived, _ = next(iter(self._waiting.values()))
        return max(0.0, arrived + self._limits.max_wait_s - now)

    def waited_s(self, now: float) -> float:
        """Say how long the oldest frame has waited; 0 while nothing waits."""
        return now - next(iter(self._waiting.values()))[0] if self._waiting else 0.0

    def shed(self, broker_now: float) -> Shed[F]:
        """Let go of what is too old at ``broker_now``, in broker seconds, and of what is beyond the fair shares."""
        stale = self._remove(
            [t for t, (_, frame) in self._waiting.items() if broker_now - frame.published_at > self._limits.max_age_s]
        )
        return Shed(stale, self._remove(self._beyond_fair_share()))

    def take(self, now: float) -> list[F]:
        """Give the batch that is due at ``now``, in monotonic seconds, in the order of arrival; empty if none is."""
        due_s = self.due_in_s(now)
        if due_s is None or due_s > 0:
            return []
        tickets = self._next_tickets()
        for ticket in tickets:
            self._served[self._waiting[ticket][1].camera] = next(self._place)
        return self._remove(sorted(tickets))

    def _next_tickets(self) -> list[int]:
        """Find the tickets of the next batch: each camera in turn gives its oldest frame until the batch is full."""
        if len(self._waiting) <= self._limits.max_size:
            return list(self._waiting)
        return self._in_turn(self._limits.max_size, deque.popleft)

    def _beyond_fair_share(self) -> list[int]:
        """Find the tickets that must go: each camera in turn keeps its newest frame until the room is used up."""
        if len(self._waiting) <= self._limits.max_waiting:
            return []
        kept = set(self._in_turn(self._limits.max_waiting, deque.pop))
        return [ticket for ticket in self._waiting if ticket not in kept]

    def _in_turn(self, places: int, pick: Callable[[deque[int]], int]) -> list[int]:
        """Pick a ticket of each camera in turn, the longest unserved first, until all places are taken."""
        by_camera: dict[str, deque[int]] = {}
        for ticket, (_, frame) in self._waiting.items():
            by_camera.setdefault(frame.camera, deque()).append(ticket)
        turn = sorted(by_camera, key=lambda camera: self._served.get(camera, 0))
        picked: list[int] = []
        while len(picked) < places:
            for camera in [name for name in turn if by_camera[name]][: places - len(picked)]:
                picked.append(pick(by_camera[camera]))
        return picked

    def _remove(self, tickets: list[int]) -> list[F]:
        return [self._waiting.pop(ticket)[1] for ticket in tickets]
