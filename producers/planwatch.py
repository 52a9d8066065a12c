"""Watches for another published plan in a thread of its own, so that a state broker that hangs holds no camera up."""

from __future__ import annotations

import threading
import time
from typing import Self

from common.broker.planfeed import PlanFeed
from common.errors import BrokerError, SitePlanError
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.siteplan import SitePlan
from producers.metrics import ProducerMetrics

LOOK_EVERY_S = 0.5
_log = Log("producer")


class PlanWatch:
    """Looks twice a second until ``stop``; a context manager. A plan that cannot be used is counted and passed over.

    Args:
        feed: The published plan.
        metrics: Where versions and failures are shown.
        stop: Ends it.
    """

    def __init__(self, feed: PlanFeed, metrics: ProducerMetrics, stop: StopSignal) -> None:
        self._feed = feed
        self._metrics = metrics
        self._stop = stop
        self._guard = threading.Lock()
        self._plan: SitePlan | None = None
        self._once = OncePer(10.0, time.monotonic)
        self._thread = threading.Thread(target=self._run, name="plan", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(1.0)

    def take(self) -> SitePlan | None:
        """Give the newest usable plan, once."""
        with self._guard:
            plan, self._plan = self._plan, None
            return plan

    def _run(self) -> None:
        while True:
            self._look()
            if self._stop.wait(LOOK_EVERY_S):
                return

    def _look(self) -> None:
        try:
            plan = self._feed.poll()
        except SitePlanError as error:
            self._metrics.plans_unusable.inc()
            _log.error(
                "plan_unusable", version=self._feed.version, in_force=self._feed.in_force, error=str(error)[:300]
            )
            return
        except BrokerError as error:
            self._metrics.broker.up.labels("state").set(0)
            self._metrics.broker.errors.labels("state", error.code).inc()
            if self._once.permit(error.code) is not None:
                _log.warning("state_broker_away", code=error.code, consequence="the plan in force stays")
            return
        self._metrics.broker.up.labels("state").set(1)
        if plan is None:
            if not self._feed.version and self._once.permit("no plan") is not None:
                _log.warning("no_plan", advice="run: maskwatch site publish SITE.yaml")
            return
        self._metrics.plan_version.set(self._feed.in_force)
        with self._guard:
            self._plan = plan
