"""Follows the site plan that is in force, as the judge needs it."""

from __future__ import annotations

from collections.abc import Callable

from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.errors import SitePlanError
from common.log import Log
from common.siteplan import PrivacyMode, SitePlan
from workers.judge.context import CameraContext, context_of
from workers.judge.limits import Limits

_log = Log("judge")


class Plans:
    """The newest plan that could be read, and contexts made from it.

    Args:
        store: Where the plan is published.
        limits: The judge's knobs, part of every context.
        host: Name of this machine, part of every event.
        on_unusable: Told of every published plan that cannot be used.
        floor: A plan of weaker privacy is one.
    """

    def __init__(
        self,
        store: PlanStore,
        limits: Limits,
        host: str,
        on_unusable: Callable[[], object] = lambda: None,
        floor: PrivacyMode = "full",
    ) -> None:
        self._feed = PlanFeed(store, floor)
        self._on_unusable = on_unusable
        self._limits = limits
        self._host = host
        self._plan: SitePlan | None = None
        self._contexts: dict[str, CameraContext] = {}
        self._planned: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether there is a plan at all."""
        return self._plan is not None

    def refresh(self) -> bool:
        """Look for a newer plan; True where one came into force. One that cannot be read is named and passed over.

        Raises:
            BrokerError: The broker does not answer; the plan in force stays.
        """
        try:
            plan = self._feed.poll()
        except SitePlanError as error:
            _log.error("plan_unusable", version=self._feed.version, error=str(error)[:300])
            self._on_unusable()
            return False
        if plan is None:
            return False
        self._contexts = {name: one for name, one in self._contexts.items() if self._removed(name, plan)}
        self._plan = plan
        self._planned = frozenset(camera.id for camera in plan.cameras)
        _log.info("plan_in_force", version=self._feed.in_force, site=plan.site, cameras=len(plan.cameras))
        return True

    def context(self, camera: str) -> CameraContext:
        """Give a camera's context; only once a plan is `known`."""
        if self._plan is None:
            raise LookupError("no site plan was published")
        if camera not in self._contexts:
            self._contexts[camera] = context_of(self._plan, camera, limits=self._limits, host=self._host)
        return self._contexts[camera]

    def planned(self, camera: str) -> bool:
        """Say whether a camera is in the plan in force."""
        return camera in self._planned

    def _removed(self, camera: str, plan: SitePlan) -> bool:
        """Say whether a camera leaves with this plan; it keeps its names and policy for what is still to be closed."""
        return self._plan is not None and self._plan.camera(camera) is not None and plan.camera(camera) is None
