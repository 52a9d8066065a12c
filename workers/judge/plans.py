"""Follows the site plan that is in force, as the judge needs it."""

from __future__ import annotations

import json

from common.broker.plans import PlanStore
from common.errors import SitePlanError
from common.log import Log
from common.siteplan import SitePlan, parse_plan
from workers.judge.context import CameraContext, context_of
from workers.judge.limits import Limits

_log = Log("judge")


class Plans:
    """The newest plan that could be read, and contexts made from it.

    Args:
        store: Where the plan is published.
        limits: The judge's knobs, part of every context.
        host: Name of this machine, part of every event.
    """

    def __init__(self, store: PlanStore, limits: Limits, host: str) -> None:
        self._store = store
        self._limits = limits
        self._host = host
        self._version = 0
        self._plan: SitePlan | None = None
        self._contexts: dict[str, CameraContext] = {}

    @property
    def known(self) -> bool:
        """Whether there is a plan at all."""
        return self._plan is not None

    def refresh(self) -> bool:
        """Look for a newer plan; True where one came into force. One that cannot be read is named and passed over.

        Raises:
            BrokerError: The broker does not answer; the plan in force stays.
        """
        if self._store.version() == self._version:
            return False
        found = self._store.load()
        if found is None:
            return False
        self._version, payload = found
        try:
            self._plan = parse_plan(json.loads(payload), f"published plan {self._version}")
        except (SitePlanError, ValueError) as error:
            _log.error("plan_unreadable", version=self._version, error=str(error)[:300])
            return False
        self._contexts.clear()
        _log.info("plan_in_force", version=self._version, site=self._plan.site, cameras=len(self._plan.cameras))
        return True

    def context(self, camera: str) -> CameraContext:
        """Give a camera's context; only once a plan is `known`."""
        if self._plan is None:
            raise LookupError("no site plan was published")
        if camera not in self._contexts:
            self._contexts[camera] = context_of(self._plan, camera, limits=self._limits, host=self._host)
        return self._contexts[camera]
