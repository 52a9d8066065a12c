"""Follows the published site plan for a service: what is new, what cannot be used."""

from __future__ import annotations

import json

from common.broker.plans import PlanStore
from common.errors import SitePlanError
from common.privacyfloor import check_floor
from common.siteplan import PrivacyMode, SitePlan, parse_plan


class PlanFeed:
    """Gives each new plan once; used by one thread.

    Attributes:
        version: The newest version that was looked at, usable or not; 0 before the first.
        in_force: The newest version that could be used; 0 before the first.
    """

    def __init__(self, store: PlanStore, floor: PrivacyMode = "full") -> None:
        """Follow the plan of this store; one of weaker privacy than ``floor`` cannot be used."""
        self._store = store
        self._floor = floor
        self.version = 0
        self.in_force = 0

    def poll(self) -> SitePlan | None:
        """Look for another plan than the last one; None where there is none.

        Raises:
            SitePlanError: There is one that cannot be used. It is passed over; the plan in force stays.
            BrokerError: The broker does not answer; ask again later.
        """
        if self._store.version() == self.version:
            return None
        stored = self._store.load()
        if stored is None:
            return None
        self.version, payload = stored
        origin = f"published plan {self.version}"
        plan = read_plan(payload, origin)
        check_floor(plan, self._floor, origin)
        self.in_force = self.version
        return plan


def read_plan(payload: bytes, origin: str) -> SitePlan:
    """Read a plan as it is stored; ``origin`` is named in complaints.

    Raises:
        SitePlanError: It cannot be used.
    """
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise SitePlanError(f"{origin}: no JSON: {error}") from error
    return parse_plan(raw, origin)
