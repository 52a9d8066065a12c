"""The judge's loop: read results, judge them, commit each partition's batch as a whole, again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from common.broker.ownership import Commit, PartitionStore
from common.broker.results import DeadLetters
from common.broker.vitals import VitalSigns
from common.errors import BrokerError, BrokerUnavailableError, FencedError, OffsetMovedError
from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer
from common.tracing import OFF, Tracing
from workers.judge.desk import Desk
from workers.judge.holding import Holding
from workers.judge.metrics import JudgeMetrics
from workers.judge.plans import Plans
from workers.judge.settings import JudgeSettings

_log = Log("judge")
_PLAN_POLL_S = 1.0
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop works with: the state endpoint in its several roles, and the counters."""

    store: PartitionStore
    letters: DeadLetters
    plans: Plans
    metrics: JudgeMetrics
    vitals: VitalSigns
    tracing: Tracing = OFF


class JudgeLoop:
    """Judges the partitions of a `Holding` until told to stop.

    Attributes:
        beat_s: Monotonic time of the last turn, for liveness.
        trouble: What keeps it from working; empty while all is well.
    """

    def __init__(self, around: Surroundings, holding: Holding, settings: JudgeSettings) -> None:
        self.beat_s = time.monotonic()
        self.trouble = "starting"
        self._around = around
        self._holding = holding
        self._settings = settings
        self._plan_seen_s = float("-inf")
        self._pause_s = 0.1
        self._quiet = OncePer(5.0)
        self._told: BrokerUnavailableError | None = None

    def run(self, stop: StopSignal, grace_s: float) -> None:
        """Work until ``stop``, then judge what is already there and release everything, within ``grace_s``."""
        while not stop.is_set():
            self.beat_s = time.monotonic()
            if not self._guarded(self._settings.block_s, stop):
                stop.wait(self._next_pause())
        deadline = Deadline.after(grace_s * 0.8)
        while not deadline.spent() and self._guarded(0.0, stop) and self._read_something:
            self.beat_s = time.monotonic()
        self._holding.leave()
        self._around.metrics.partitions.set(0)

    def planned(self, camera: str) -> bool:
        """Say whether a camera is in the plan in force; any thread may ask."""
        return self._around.plans.planned(camera)

    def turn(self, block_s: float) -> bool:
        """Keep the leases, read once, judge and commit; says whether there was anything to read.

        Raises:
            BrokerError: The broker does not answer, or refuses; uncommitted work must be dropped.
        """
        now_s = time.monotonic()
        if not self._follow_plan(now_s):
            return False
        self._holding.keep(now_s, self._around.plans.context, self._around.tracing)
        desks = self._holding.desks
        self._around.metrics.partitions.set(len(desks))
        if not desks:
            return False
        clocks = self._around.store.clocks(desks)
        cursors = {number: desks[number].cursor for number in clocks}
        found = self._around.store.read(cursors, self._settings.batch, block_s)
        for number, entries in found.items():
            with self._holding.reaching(number):
                self._judge(number, entries, clocks[number])
            self._holding.renew(time.monotonic())
        return any(found.values())

    def _judge(self, number: int, entries: list[tuple[str, bytes]], now_ms: int) -> None:
        desk = self._holding.desks.get(number)
        if desk is None:  # it was lost to another judge, or with its node, while others were judged
            return
        desk.take(entries)
        if len(entries) < self._settings.batch:
            desk.tick(now_ms)
            desk.forget(now_ms, round(self._settings.forget_s * 1000), self._around.plans.planned)
        self._commit(number, desk, now_ms)

    def _guarded(self, block_s: float, stop: StopSignal) -> bool:
        """Take a turn; after a broker error everything in memory is dropped, to be loaded again."""
        self._read_something = False
        metrics = self._around.metrics.broker
        try:
            self._read_something = self.turn(block_s)
        except BrokerError as error:
            self.trouble = f"the broker does not do as asked ({error.code})"
            metrics.errors.labels("state", error.code).inc()
            metrics.up.labels("state").set(0)
            if self._quiet.permit(error.code) is not None:
                _log.warning("broker_trouble", code=error.code, error=str(error))
            self._holding.drop_all("broker trouble")
            return False
        self._pause_s = 0.1
        self.trouble = self._what_is_missing()
        metrics.up.labels("state").set(not self._holding.unreached)
        if not self._holding.desks:
            stop.wait(self._settings.block_s)
        return True

    def _what_is_missing(self) -> str:
        unreached = self._holding.unreached
        if unreached:
            error = next(iter(unreached.values()))
            if error is not self._told:
                self._told = error
                self._around.metrics.broker.errors.labels("state", error.code).inc()
            if self._quiet.permit(error.node) is not None:
                _log.warning("node_away", node=error.node, code=error.code, partitions=sorted(unreached))
            return f"{len(unreached)} partitions wait for the broker's node {error.node} ({error.code})"
        return "" if self._around.plans.known else "no site plan was published"

    def _next_pause(self) -> float:
        pause_s, self._pause_s = self._pause_s, min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing

    def _follow_plan(self, now_s: float) -> bool:
        """Say whether there is a plan; one in hand serves on while the node that holds it is away."""
        plans = self._around.plans
        try:
            self._around.vitals.look(now_s)
            if now_s - self._plan_seen_s >= _PLAN_POLL_S:
                self._plan_seen_s = now_s
                if plans.refresh():
                    for desk in self._holding.desks.values():
                        desk.renew_contexts()
                    self._around.metrics.forget(plans.planned)
        except BrokerUnavailableError as error:
            if not (error.node and plans.known):
                raise
        return plans.known

    def _commit(self, number: int, desk: Desk, now_ms: int) -> None:
        metrics = self._around.metrics
        for letter in desk.take_letters():
            metrics.rejected.labels(letter.reason).inc()
            fields = {"stage": "judge", "entry": letter.entry_id, "reason": letter.reason}
            self._around.letters.add(number, fields | {"sha256": letter.sha256, "error": letter.error})
        step = desk.due(now_ms, round(self._settings.keep_results_s * 1000), self._settings.events_kept)
        if step is None:
            return
        try:
            self._around.store.commit(desk.lease, step)
        except (FencedError, OffsetMovedError) as error:
            metrics.fenced.inc()
            self._holding.drop(number, str(error))
            return
        self._count(desk, step)

    def _count(self, desk: Desk, step: Commit) -> None:
        metrics = self._around.metrics
        events, tally = desk.committed(step)
        for outcome, count in tally.outcomes.items():
            metrics.results.labels(outcome).inc(count)
        for camera, count in tally.trimmed.items():
            if count and self.planned(camera):
                metrics.trimmed.labels(camera, "trimmed").inc(count)
        metrics.duplicates.inc(tally.duplicates)
        metrics.late.inc(tally.late)
        metrics.count_events(events)
