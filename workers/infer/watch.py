"""What a worker looks after beside its frames: the plan's cameras, frames too old to keep, how far reading lags."""

from __future__ import annotations

import json
import threading
import time
from typing import Self

from common.broker.frames import FrameReader, Janitor
from common.broker.plans import PlanStore
from common.errors import BrokerError, SitePlanError
from common.log import Log, OncePer
from common.siteplan import parse_plan
from workers.infer.metrics import InferMetrics

LOOK_EVERY_S = 1.0
_log = Log("infer")


class Watch:
    """A thread that looks once a second; a context manager. A broker that is away only delays it.

    Attributes:
        cameras: Camera ids of the plan in force; empty while there is none.
        state_answers: Whether the state broker answered the last time.
    """

    def __init__(
        self, plans: PlanStore, reader: FrameReader, janitor: Janitor, metrics: InferMetrics, kept_s: float
    ) -> None:
        self.cameras: tuple[str, ...] = ()
        self.state_answers = False
        self._plans = plans
        self._reader = reader
        self._janitor = janitor
        self._metrics = metrics
        self._kept_s = kept_s
        self._version = 0
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
        try:
            if self._plans.version() != self._version:
                self._follow()
        except BrokerError as error:
            self._failed("state", error)
        else:
            self.state_answers = True
            self._metrics.broker.up.labels("state").set(1)

    def _follow(self) -> None:
        stored = self._plans.load()
        if stored is None:
            return
        self._version = stored[0]
        try:
            plan = parse_plan(json.loads(stored[1]), f"plan {stored[0]}")
        except (SitePlanError, ValueError) as error:
            _log.error("plan_unusable", version=stored[0], error=str(error))
            return
        self.cameras = tuple(camera.id for camera in plan.cameras)
        _log.info("plan", version=stored[0], cameras=len(self.cameras))

    def _frames(self) -> None:
        cameras = self.cameras
        try:
            self._janitor.trim(cameras, self._kept_s)
            backlog = self._reader.backlog()
        except BrokerError as error:
            self._failed("frames", error)
            return
        self._metrics.broker.up.labels("frames").set(1)
        for camera, seconds in backlog.items():
            self._metrics.backlog.labels(camera).set(seconds)

    def _failed(self, endpoint: str, error: BrokerError) -> None:
        if endpoint == "state":
            self.state_answers = False
        self._metrics.broker.up.labels(endpoint).set(0)
        self._metrics.broker.errors.labels(endpoint, error.code).inc()
        if self._once.permit(f"{endpoint} {error.code}") is not None:
            _log.warning("broker_away", endpoint=endpoint, code=error.code)
