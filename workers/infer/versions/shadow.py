"""A candidate beside what serves: it looks at a share of the same frames, and nothing of it is published but counts."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from common.broker.models.shadowreports import candidate_names
from common.log import Log, OncePer
from common.models.registry import Rollout
from common.models.rollout_report import ShadowReport
from workers.infer.looking import Decoded
from workers.infer.metrics import InferMetrics
from workers.infer.versions.comparison import Comparison
from workers.infer.versions.serving import Served
from workers.infer.vision.face import Face

EVERY = 10
"""One batch in so many is compared."""
NICE = 10
LONGEST_CLOSE_S = 5.0
_log = Log("infer")
_Batch = tuple[Sequence[Decoded], Sequence[Sequence[Face]]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared, and on whose order.

    Attributes:
        candidate: Its networks; closed when the comparison ends.
        rollout: What asked for it.
        cost_ratio: Processor time of the candidate over that of what serves.
    """

    candidate: Served
    rollout: Rollout
    cost_ratio: float | None


class Shadow:
    """Listens to batches and compares a few of them in a thread of its own, never while frames have to hurry.

    ``listen`` belongs to the thread that looks at frames, everything else to one other thread.

    Args:
        metrics: Where it counts.
        worker: This worker's name.
        age_s: Gives a frame's publication moment and answers how old it is, s.
        max_age_s: Frames older than half of this mean that there is no time to spare.
    """

    def __init__(self, metrics: InferMetrics, worker: str, age_s: Callable[[float], float], max_age_s: float) -> None:
        self._metrics = metrics
        self._worker = worker
        self._age_s = age_s
        self._hurry_s = max_age_s / 2
        self._run: _Run | None = None
        self._count = 0

    @property
    def subject(self) -> Subject | None:
        """What is compared now."""
        run = self._run
        return run.subject if run else None

    def begin(self, subject: Subject) -> None:
        """Compare this candidate from now on, in place of any other."""
        self.end()
        self._run = _Run(subject, self._metrics)

    def end(self) -> None:
        """Compare no more, and close the candidate after the batch it is at."""
        run, self._run = self._run, None
        if run is not None:
            run.close()

    def listen(self, served: Served, frames: Sequence[Decoded], found: Sequence[Sequence[Face]]) -> None:
        """Take one batch in ten along, if there is time and what serves is what the candidate is compared with."""
        run = self._run
        if run is None or served.choice.generation != run.subject.rollout.base_generation:
            return
        self._count += 1
        if self._count % EVERY:
            return
        oldest = min(frame.published_at for frame, _ in frames)
        if self._age_s(oldest) > self._hurry_s:
            self._metrics.shadow_skipped.labels("overload").inc()
        elif not run.offer((frames, found)):
            self._metrics.shadow_skipped.labels("busy").inc()

    def report(self, now: float) -> ShadowReport | None:
        """Say what was counted so far; None where nothing is compared. ``now``: s since the epoch."""
        run = self._run
        if run is None:
            return None
        rollout = run.subject.rollout
        return ShadowReport(
            worker=self._worker,
            base_generation=rollout.base_generation,
            candidate=candidate_names(rollout),
            started_at=rollout.at_s,
            at_s=now,
            cost_ratio=run.subject.cost_ratio,
            **run.counts(),
        )


class _Run:
    """One candidate's thread."""

    def __init__(self, subject: Subject, metrics: InferMetrics) -> None:
        self.subject = subject
        self._metrics = metrics
        self._comparison = Comparison()
        self._lock = threading.Lock()
        self._batches: queue.Queue[_Batch | None] = queue.Queue(1)
        self._closing = threading.Event()
        self._once = OncePer(60.0, time.monotonic)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, batch: _Batch) -> bool:
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            return False
        return True

    def counts(self) -> dict[str, Any]:
        with self._lock:
            tally = self._comparison.tally
            counts = {one.name: getattr(tally, one.name) for one in fields(tally)}
            return {**counts, "disagreed": dict(tally.disagreed)}

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._batches.put_nowait(None)
        self._thread.join(LONGEST_CLOSE_S)
        if self._thread.is_alive():
            return  # a candidate that hangs ends with the process
        self.subject.candidate.pipeline.backend.close()

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while not self._closing.is_set():
            batch = self._batches.get()
            if batch is None or self._closing.is_set():
                return
            try:
                self._compare(*batch)
            except Exception as error:  # noqa: BLE001 - a candidate that fails must not end the worker, only be counted
                with self._lock:
                    self._comparison.tally.failed += 1
                self._metrics.shadow_skipped.labels("failed").inc()
                if self._once.permit(type(error).__name__) is not None:
                    _log.warning("shadow_failed", error=type(error).__name__)

    def _compare(self, frames: Sequence[Decoded], found: Sequence[Sequence[Face]]) -> None:
        theirs = self.subject.candidate.pipeline.look([decoded for _, decoded in frames])
        for (frame, _), ours, other in zip(frames, found, theirs, strict=True):
            with self._lock:
                agreed = self._comparison.add(frame.camera, ours, other)
            self._metrics.shadow_frames.labels("agreed" if agreed else "disagreed").inc()
