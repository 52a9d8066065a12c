"""The loop's side of the frames broker: reading, taking over, acknowledging; an outage is waited for, never fatal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.broker.frames.entries import FrameEntry
from common.broker.frames.reader import FrameReader
from common.errors import BrokerError
from common.log import Log, OncePer
from workers.infer.brokerclock import BrokerClock
from workers.infer.metrics import InferMetrics
from workers.infer.patience import Backoff, Patience

UNPLANNED_S = 0.05  # how soon a plan that was just read is acted on: a start must not wait for a whole block
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much is read at once, and what is taken over.

    Attributes:
        entries: Most entries of one read.
        size_bytes: Most bytes of one read.
        reclaim_idle_s: Entries that nobody touched for so long, s, are taken over.
        reclaim_every_s: How often that is looked for, s.
        reclaim_count: Most entries taken over at once.
    """

    entries: int
    size_bytes: int
    reclaim_idle_s: float
    reclaim_every_s: float
    reclaim_count: int


class Intake:
    """Gives the loop what came in. Used by the loop's thread only.

    Attributes:
        answers: Whether the frames broker answered the last time.

    Args:
        reader: The group member that this worker is.
        clock: The frames broker's clock.
        limits: How much is read at once.
        patience: How to wait while the broker is away.
        metrics: Where errors are counted.
    """

    def __init__(
        self, reader: FrameReader, clock: BrokerClock, limits: ReadLimits, patience: Patience, metrics: InferMetrics
    ) -> None:
        self.answers = False
        self._reader = reader
        self._clock = clock
        self._limits = limits
        self._patience = patience
        self._metrics = metrics
        self._cameras: tuple[str, ...] = ()
        self._next_reclaim = 0.0
        self._backoff = Backoff()
        self._once = OncePer(5.0, time.monotonic)

    def follow(self, cameras: tuple[str, ...], resting: frozenset[int] = frozenset()) -> None:
        """Read these cameras from now on, but for those of resting partitions: theirs stays with the broker."""
        if cameras != self._cameras:
            self._cameras = cameras
            self._reader.set_cameras(cameras)
        self._reader.resting = resting

    def fetch(self, block_s: float) -> list[FrameEntry]:
        """Read new entries, each camera its fair share, and now and then take over what others left behind."""
        if not self._cameras:
            self._patience.pause(min(block_s, UNPLANNED_S))
            return []
        return self._guarded(lambda: self._read(block_s)) or []

    def ack(self, entries: Iterable[FrameEntry]) -> None:
        """Acknowledge; what fails is sent again with the next call."""
        began = time.perf_counter()
        self._guarded(lambda: self._reader.ack(entries))
        self._metrics.time_stage("ack", time.perf_counter() - began)

    def hand_over(self, entries: Iterable[FrameEntry]) -> None:
        """Give entries to whoever looks next; where the broker is away they are taken over by their age."""
        try:
            self._reader.ack([])
            self._reader.hand_over(entries)
        except BrokerError as error:
            _log.warning("hand_over_failed", code=error.code)

    def _read(self, block_s: float) -> list[FrameEntry]:
        now = time.monotonic()
        self._clock.sync(now)
        limits = self._limits
        if now >= self._next_reclaim:
            self._next_reclaim = now + limits.reclaim_every_s
            taken_over = self._reader.reclaim(limits.reclaim_idle_s, limits.reclaim_count)
            self._count_losses()
            if taken_over:
                self._metrics.reclaimed.inc(len(taken_over))
                return taken_over
        began = time.perf_counter()
        per_camera = max(4, limits.entries // len(self._cameras))
        entries = self._reader.read(per_camera, limits.entries, limits.size_bytes, block_s)
        if entries:
            self._metrics.time_stage("read", time.perf_counter() - began)
        return entries

    def _count_losses(self) -> None:
        for camera, count in self._reader.take_trimmed().items():
            self._metrics.trimmed_pending.labels(camera).inc(count)

    def _guarded(self, action: Callable[[], list[FrameEntry] | int]) -> list[FrameEntry] | None:
        try:
            found = action()
        except BrokerError as error:
            self.answers = False
            self._metrics.broker.errors.labels("frames", error.code).inc()
            if self._once.permit(error.code) is not None:
                _log.warning("frames_broker_failed", code=error.code)
            self._patience.pause(self._backoff.next_s())
            return None
        self.answers = True
        self._backoff.reset()
        return found if isinstance(found, list) else None
