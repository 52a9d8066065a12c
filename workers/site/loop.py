"""The site stage's loop: hold the lease, read, judge, commit state and events as a whole, again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from common.broker.events.log import EventLog
from common.broker.ownership import Commit, EventRecord, Lease, PartitionStore
from common.broker.planfeed import PlanFeed
from common.errors import BrokerError, FencedError, OffsetMovedError, SitePlanError, WireError
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.partition import SITE
from common.siteplan import SitePlan
from workers.site.engine import EVENTS, NEWS, Noted, SiteJudge
from workers.site.metrics import SiteMetrics
from workers.site.state import SiteState
from workers.site.streams import BEGINNING, SiteStreams

_log = Log("site")
_TURN_S = 0.25
_LOOK_S = 1.0
_LONGEST_PAUSE_S = 2.0
_KEEP_NEWS_MS = 600_000


@dataclass(frozen=True, slots=True)
class SiteSurroundings:
    """What the loop works with.

    Attributes:
        store: Lease, state and commit of the site's pseudo partition.
        streams: What is read.
        log: To see whether it still reaches back to where reading goes on.
        plans: The plan, followed by this loop only.
        metrics: The counters.
    """

    store: PartitionStore
    streams: SiteStreams
    log: EventLog
    plans: PlanFeed
    metrics: SiteMetrics


@dataclass(slots=True)
class Held:
    """What the holder of the lease has in memory; what counts is what the broker holds."""

    lease: Lease
    step: int
    judge: SiteJudge
    parts: dict[str, bytes]


class SiteLoop:
    """Judges the site while it holds the lease, and waits for it else.

    Attributes:
        beat_s: Monotonic time of the last turn, for liveness.
    """

    def __init__(self, around: SiteSurroundings, renew_s: float, events_kept: int) -> None:
        self.beat_s = time.monotonic()
        self._around = around
        self._renew_s = renew_s
        self._events_kept = events_kept
        self._plan: SitePlan | None = None
        self._held: Held | None = None
        self._looked_s = self._renewed_s = float("-inf")
        self._pause_s = 0.1
        self._quiet = OncePer(5.0)

    @property
    def holding(self) -> bool:
        """Whether this process is the one whose site stage works."""
        return self._held is not None

    def run(self, stop: StopSignal) -> None:
        """Work until ``stop``, then take what is there and give the lease back."""
        while not stop.is_set():
            self.beat_s = time.monotonic()
            busy = self._guarded()
            stop.wait(self._next_pause() if busy is None else 0.0 if busy else _TURN_S)
        self._guarded()
        self._leave()

    def turn(self) -> bool:
        """Keep the lease, read, judge and commit once; says whether there may be more to read at once.

        Raises:
            BrokerError: The broker does not answer, or refuses; what is in memory must be dropped.
        """
        self._look(time.monotonic())
        held = self._held
        if held is None:
            return False
        state = held.judge.state
        entries, until_ms = self._around.streams.read(state.cursors)
        for entry in entries:
            held.judge.pass_time(entry.at_ms)
            held.judge.take(entry)
            state.cursors[entry.stream] = f"{entry.at_ms}-{entry.number}"
        held.judge.pass_time(until_ms - 1)
        self._around.metrics.lag.set(max(0.0, time.time() - until_ms / 1000))
        self._commit(held, until_ms)
        return bool(entries)

    def _guarded(self) -> bool | None:
        """Take a turn; None after a broker error, when everything in memory was dropped."""
        try:
            busy = self.turn()
        except (FencedError, OffsetMovedError) as error:
            self._around.metrics.fenced.inc()
            self._drop(str(error))
            return False
        except BrokerError as error:
            if self._quiet.permit(error.code) is not None:
                _log.warning("broker_trouble", code=error.code, error=str(error))
            self._drop("broker trouble")
            return None
        self._pause_s = 0.1
        return busy

    def _next_pause(self) -> float:
        pause_s, self._pause_s = self._pause_s, min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing

    def _look(self, now_s: float) -> None:
        """Follow the plan, and keep or take the lease, where it is time."""
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._follow_plan()
            if self._held is None and self._plan is not None:
                self._take(self._plan)
        if self._held is not None and now_s - self._renewed_s >= self._renew_s:
            self._renewed_s = now_s
            if not self._around.store.renew(self._held.lease):
                self._drop("taken by another site stage")

    def _follow_plan(self) -> None:
        try:
            plan = self._around.plans.poll()
        except SitePlanError as error:
            _log.error("plan_unusable", version=self._around.plans.version, error=str(error)[:300])
            return
        if plan is not None:
            self._plan = plan
            self._around.metrics.keep(zone.id for zone in plan.zones)
            if self._held is not None:
                self._held.judge.follow(plan, self._around.streams.now_ms())

    def _take(self, plan: SitePlan) -> None:
        store, streams = self._around.store, self._around.streams
        lease = store.acquire(SITE)
        if lease is None:
            return
        self._renewed_s = time.monotonic()
        stored = store.load(SITE)
        state = SiteState()
        try:
            if stored.cameras:
                state = SiteState.from_parts(stored.cameras)
        except WireError as error:
            _log.error("state_unreadable", error=str(error), consequence="counts of the site start over")
        if not state.cursors:
            state.cursors = streams.first_cursors()
        self._look_for_gaps(state)
        judge = SiteJudge(plan, state)
        judge.follow(plan, streams.now_ms())
        self._held = Held(lease, int(stored.offset.partition("-")[0]), judge, stored.cameras)
        self._around.metrics.held.set(1)
        _log.info("site_taken", epoch=lease.epoch)

    def _look_for_gaps(self, state: SiteState) -> None:
        cursors = {
            int(name.partition(" ")[2]): cursor for name, cursor in state.cursors.items() if name.startswith(EVENTS)
        }
        for number, oldest in self._around.log.gaps(cursors).items():
            if self._around.log.trimmed(number):
                self._around.metrics.missed.inc()
                _log.warning("events_missed", partition=number, after=cursors[number], oldest_kept=oldest)

    def _commit(self, held: Held, until_ms: int) -> None:
        judge = held.judge
        parts = judge.state.to_parts()
        changed = {name: part for name, part in parts.items() if held.parts.get(name) != part}
        if not changed and not judge.events:
            return
        step = Commit(
            from_offset=f"{held.step}-0",
            to_offset=f"{held.step + 1}-0",
            events=[EventRecord(event.to_json(), event.type, camera, event.id) for event, camera in judge.events],
            states=changed,
            trim_before_ms=max(0, until_ms - _KEEP_NEWS_MS),
            read_to=judge.state.cursors.get(NEWS, BEGINNING),
            events_kept=self._events_kept,
        )
        self._around.store.commit(held.lease, step)
        held.step, held.parts = held.step + 1, parts
        self._around.metrics.count([event for event, _ in judge.events], judge.noted)
        judge.events, judge.noted = [], Noted()

    def _drop(self, why: str) -> None:
        if self._held is not None:
            self._held = None
            self._looked_s = float("-inf")
            self._around.metrics.held.set(0)
            _log.warning("site_dropped", why=why)

    def _leave(self) -> None:
        held, self._held = self._held, None
        self._around.metrics.held.set(0)
        if held is not None:
            try:
                self._around.store.release(held.lease)
            except BrokerError as error:
                _log.warning("release_failed", error=str(error))
