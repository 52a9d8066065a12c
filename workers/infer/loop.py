"""The infer loop: read and decode the next batch while the current one is looked at; publish, then acknowledge.

    read ─▶ sort ─┬─ marks ────────────── forward, in order behind their camera's frames ─┐
                  ├─ foreign ──────────── dead letter ────────────────────────────────────┤
                  ├─ frames ─▶ shed ─▶ guard, decode ─▶ detect, classify ─▶ publish ──────┼─▶ acknowledge
                  └─ suspects ─────────── one at a time, from the third try in a child ───┘

Nothing is acknowledged before what became of it is written.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.broker.frames.entries import FrameEntry
from common.errors import FrameRejectedError
from common.lifecycle import StopSignal
from common.log import Log
from common.schema import Outcome
from workers.infer.arrivals import Arrivals, Frame, sort_entries
from workers.infer.batcher import Batcher, BatchLimits
from workers.infer.brokerclock import BrokerClock
from workers.infer.desk import Desk
from workers.infer.examining import Examiner
from workers.infer.flight import Flight
from workers.infer.holdings import Holdings
from workers.infer.intake import Intake
from workers.infer.longsides import LongSides
from workers.infer.looking import Decoded, Looker
from workers.infer.metrics import InferMetrics
from workers.infer.outcomes import OVERTAKEN, STALE, Finished
from workers.infer.patience import Patience
from workers.infer.pictures.candidates import Candidates
from workers.infer.progress import Progress
from workers.infer.vision.decoding import Decoder
from workers.infer.watch import Watch

IN_FLIGHT_BLOCK_S = 0.05
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop is made of.

    Attributes:
        limits: When a batch leaves and what is let go.
        block_s: Longest wait for new frames, s; the loop hears its stop signal after at most this.
        sides: At what size faces of each camera are looked for.
        candidates: Leaves pictures of faces where the plan asks for them.
    """

    intake: Intake
    watch: Watch
    clock: BrokerClock
    decoder: Decoder
    looker: Looker
    examiner: Examiner
    desk: Desk
    holdings: Holdings
    progress: Progress
    patience: Patience
    metrics: InferMetrics
    limits: BatchLimits
    block_s: float
    sides: LongSides
    candidates: Candidates | None = None


class InferLoop:
    """Runs until its stop signal; used by one thread."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._batcher: Batcher[Frame] = Batcher(parts.limits)
        self._suspects: deque[Frame] = deque()
        self._ready: list[Decoded] = []
        self._decode_s = 0.0
        self._flight: Flight[list[FrameEntry]] | None = None
        self._examining = False

    def run(self, stop: StopSignal) -> None:
        """Work until ``stop``, finish what is in flight within the grace period, hand the rest over.

        Raises:
            BackendError: The backend fails on everything; what is in hand was handed over.
            BrokerRefusedError: The state broker refuses results for good, such as for missing rights.
        """
        try:
            while not stop.is_set():
                self._turn()
        finally:
            self._end()

    def _turn(self) -> None:
        now = time.monotonic()
        self._p.progress.beat("loop", now)
        self._p.intake.follow(self._p.watch.cameras, self._p.desk.outbox.stuck)
        self._land()
        self._done(self._p.desk.late())
        self._launch()
        if self._flight is not None and (self._ready or self._suspects or self._examining):
            self._flight.wait(IN_FLIGHT_BLOCK_S)  # one batch ahead at most, and nothing beside a suspect
            return
        entries = self._p.intake.fetch(self._block_s(now))
        self._receive(sort_entries(self._p.holdings.unknown(entries), time.monotonic()))
        self._shed()
        if not self._suspects:
            self._prepare()
        self._launch()

    def _block_s(self, now: float) -> float:
        due_s = 0.0 if self._suspects else self._batcher.due_in_s(now)
        longest_s = IN_FLIGHT_BLOCK_S if self._flight else self._p.block_s
        return longest_s if due_s is None else min(due_s, longest_s)

    def _receive(self, arrivals: Arrivals) -> None:
        self._p.holdings.take(arrivals)
        self._batcher.add(arrivals.frames, time.monotonic())
        self._suspects.extend(arrivals.suspects)
        for entry, error in arrivals.foreign:
            self._done(self._p.desk.refuse(entry, error))
        if arrivals.marks:
            self._forward_marks()

    def _shed(self) -> None:
        broker_now = self._p.clock.now()
        shed = self._batcher.shed(broker_now)
        old = [frame for frame in self._suspects if broker_now - frame.published_at > self._p.limits.max_age_s]
        for frame in old:
            self._suspects.remove(frame)
        skipped = [Finished(frame, Outcome.SKIPPED, STALE) for frame in (*shed.stale, *old)]
        skipped += [Finished(frame, Outcome.SKIPPED, OVERTAKEN) for frame in shed.overtaken]
        self._finish(skipped)

    def _prepare(self) -> None:
        """Decode the batch that is due, in this thread, while another one may be in flight."""
        now = time.monotonic()
        waited_s = self._batcher.waited_s(now)
        frames = self._batcher.take(now)
        if frames:
            self._p.metrics.batch_size.observe(len(frames))
            self._p.metrics.batch_wait.observe(waited_s)
            self._ready = self._decoded(frames)

    def _decoded(self, frames: Sequence[Frame]) -> list[Decoded]:
        began = time.perf_counter()
        sides = self._p.sides.of(frame.camera for frame in frames)
        answers = self._p.decoder.decode([frame.jpeg for frame in frames], sides)
        self._decode_s = time.perf_counter() - began
        good: list[Decoded] = []
        bad: list[Finished] = []
        for frame, answer in zip(frames, answers, strict=True):
            if isinstance(answer, FrameRejectedError):
                bad.append(Finished(frame, Outcome.REJECTED, answer.reason))
            else:
                good.append((frame, answer))
        self._finish(bad)
        return good

    def _launch(self) -> None:
        if self._flight is not None:
            return
        if self._ready:
            batch, self._ready = self._ready, []
            decode_s = self._decode_s
            self._fly(lambda: self._looked_at(batch, decode_s), examining=False)
        elif self._suspects:
            suspect = self._suspects.popleft()
            _log.warning("suspect", camera=suspect.camera, tries=suspect.entry.deliveries - 1)
            self._fly(lambda: self._p.examiner.examine(suspect), examining=True)

    def _looked_at(self, batch: list[Decoded], decode_s: float) -> list[Finished]:
        self._p.desk.ways.begin(decode_s)
        finished, candidates = self._p.looker.look(batch), self._p.candidates
        return finished if candidates is None else candidates.illustrate(batch, finished)

    def _fly(self, look: Callable[[], list[Finished]], *, examining: bool) -> None:
        self._p.progress.beat("batch", time.monotonic())
        self._examining = examining
        self._flight = Flight(lambda: self._p.desk.finish(look()))

    def _land(self) -> None:
        if self._flight is None or not self._flight.wait(0):
            return
        flight, self._flight = self._flight, None
        self._p.progress.rest("batch")
        self._done(flight.result())

    def _finish(self, finished: list[Finished]) -> None:
        self._done(self._p.desk.finish(finished))

    def _done(self, entries: list[FrameEntry]) -> None:
        """Acknowledge what is written, and forward the marks that waited for it."""
        if entries:
            self._p.intake.ack(entries)
            self._p.holdings.let_go(entries)
            self._forward_marks()

    def _forward_marks(self) -> None:
        while marks := self._p.holdings.ready_marks():
            written = self._p.desk.forward(marks)
            if not written:
                return
            self._p.intake.ack(written)
            self._p.holdings.let_go(written)

    def _end(self) -> None:
        self._p.examiner.solo.cancel()
        if self._flight is not None:
            self._flight.wait(min(self._p.patience.left_s(), self._p.patience.grace_s))
        try:
            self._land()
        finally:
            left = self._p.holdings.entries()
            self._p.intake.hand_over(left)
            self._p.decoder.close()
            _log.info("stopped", handed_over=len(left))
