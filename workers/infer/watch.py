"""What a worker looks after beside its frames: the plan's cameras, frames too old to keep, how far reading lags."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from common.broker.frames.janitor import Janitor
from common.broker.frames.reader import FrameReader
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.broker.vitals import VitalSigns
from common.errors import BrokerError, SitePlanError, of_one_node
from common.log import Log, OncePer
from common.siteplan import PrivacyMode, SitePlan
from common.tracing import OFF
from workers.infer.metrics import InferMetrics

LOOK_EVERY_S = 1.0
LINGER_S = 10.0  # a camera that left the plan is read on, so that its last frames and its final mark come through
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: the published plan, none of weaker privacy than ``floor``; the frames; how brokers fare.

    ``on_plan`` is told of each plan before its cameras are read.
    """

    plans: PlanStore
    reader: FrameReader
    janitor: Janitor
    frames: VitalSigns
    state: VitalSigns
    floor: PrivacyMode = "full"
    on_plan: Callable[[SitePlan], None] = OFF.follow


class Watch:
    """A thread that looks once a second; a context manager. A broker that is away only delays it.

    Attributes:
        cameras: Camera ids of the plan in force, and of those that left it lately; empty while there is no plan.
        state_answers: Whether the state broker answered the last time.
    """

    def __init__(self, watched: Watched, metrics: InferMetrics, kept_s: float) -> None:
        self.cameras: tuple[str, ...] = ()
        self.state_answers = False
        self._feed = PlanFeed(watched.plans, watched.floor)
        self._watched = watched
        self._planned: tuple[str, ...] = ()
        self._leaving: dict[str, float] = {}  # camera → monotonic time until which it is read on
        self._metrics = metrics
        self._kept_s = kept_s
        self._once = OncePer(10.0, time.monotonic)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._state()
            self._frames()
            if self._end.wait(LOOK_EVERY_S):
                return

    def _state(self) -> None:
        failed: BrokerError | None = None
        for step in (self._follow, lambda: self._watched.state.look(time.monotonic())):
            try:
                step()
            except BrokerError as error:
                failed = error
                if not of_one_node(error):
                    break
        if failed is not None:
            self._failed("state", failed)
        else:
            self.state_answers = True
            self._metrics.broker.up.labels("state").set(1)

    def _follow(self) -> None:
        now = time.monotonic()
        try:
            plan = self._feed.poll()
        except SitePlanError as error:
            plan = None
            self._metrics.plans_unusable.inc()
            _log.error("plan_unusable", version=self._feed.version, error=str(error)[:300])
        if plan is not None:
            self._watched.on_plan(plan)
            planned = tuple(camera.id for camera in plan.cameras)
            self._leaving |= dict.fromkeys(set(self._planned) - set(planned), now + LINGER_S)
            self._planned = planned
            _log.info("plan", version=self._feed.in_force, cameras=len(planned))
        settled = {name for name, until in self._leaving.items() if until <= now or name in self._planned}
        self._leaving = {name: until for name, until in self._leaving.items() if name not in settled}
        if gone := settled.difference(self._planned):
            self._metrics.forget(gone)
        self.cameras = (*self._planned, *self._leaving)

    def _frames(self) -> None:
        cameras = self.cameras
        try:
            self._watched.frames.look(time.monotonic())
            self._watched.janitor.trim(cameras, self._kept_s)
            backlog = self._watched.reader.backlog()
        except BrokerError as error:
            self._failed("frames", error)
            return
        self._metrics.broker.up.labels("frames").set(1)
        for camera in backlog.keys() & set(cameras):
            self._metrics.backlog.labels(camera).set(backlog[camera])

    def _failed(self, endpoint: str, error: BrokerError) -> None:
        if endpoint == "state":
            self.state_answers = False
        self._metrics.broker.up.labels(endpoint).set(0)
        self._metrics.broker.errors.labels(endpoint, error.code).inc()
        if self._once.permit(f"{endpoint} {error.code}") is not None:
            _log.warning("broker_away", endpoint=endpoint, code=error.code)
