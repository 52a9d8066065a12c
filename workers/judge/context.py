"""What the judge is told about a camera from outside: names for its events, and the policy that applies."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from common.events import CameraInfo, PolicyInfo
from common.pictures import NO_PICTURES, PictureRules
from common.siteplan import IncidentRule, Policy, SitePlan
from common.tally import Statistics
from workers.judge.limits import DEFAULT_LIMITS, Limits, Rule
from workers.judge.ruling import Ruling, Standard
from workers.judge.zoning import WatchedZone

DEFAULT_WINDOW_MS = Statistics().window_ms


@dataclass(frozen=True, slots=True)
class CameraContext:
    """One camera's part of the plan, in the form that judging needs.

    Attributes:
        camera: Goes into every event.
        ruling: The policy outside zones that have their own.
        zones: The zones that the camera draws; the first one with a policy decides.
        incidents: What is an incident at this camera; rules with a zone are the site stage's.
        counts_only: Whether nothing may be told of a single person.
        window_ms: Length of the windows of statistics, ms.
        pictures: Which pictures events may name.
        limits: The judge's knobs.
        host: Where the judge runs; goes into events for debugging.
    """

    camera: CameraInfo
    ruling: Ruling
    zones: tuple[WatchedZone, ...] = ()
    incidents: tuple[IncidentRule, ...] = ()
    counts_only: bool = False
    window_ms: int = DEFAULT_WINDOW_MS
    pictures: PictureRules = NO_PICTURES
    limits: Limits = DEFAULT_LIMITS
    host: str = ""

    @property
    def rule(self) -> Rule:
        """The camera's policy outside its hours, prepared."""
        return self.ruling.base.rule

    @property
    def policy(self) -> PolicyInfo:
        """The camera's policy outside its hours, as events name it."""
        return self.ruling.base.policy

    @property
    def follows_hours(self) -> bool:
        """Whether what is asked for changes with time."""
        return self.ruling.changing or any(zone.ruling is not None and zone.ruling.changing for zone in self.zones)

    def standard(self, current: Container[str], t_ms: int) -> Standard:
        """Say what is asked of somebody who is in these zones at a moment, ms."""
        for zone in self.zones:
            if zone.ruling is not None and zone.id in current:
                return zone.ruling.at(t_ms)
        return self.ruling.at(t_ms)


def context_of(plan: SitePlan, camera_id: str, *, limits: Limits = DEFAULT_LIMITS, host: str = "") -> CameraContext:
    """Take a camera's context from the plan; one that is not in it is judged under the first policy."""
    camera = plan.camera(camera_id)
    info = CameraInfo(
        id=camera_id,
        name=(camera and camera.name) or camera_id,
        site=plan.site,
        **({"place": camera.place, "tags": camera.tags} if camera else {}),
    )

    def ruling(policy: Policy) -> Ruling:
        return Ruling(policy, policy.time_zone or plan.time_zone)

    zones = tuple(
        WatchedZone.of(zone, corners, None if zone.policy is None else ruling(plan.policy(zone.policy)))
        for zone, corners in plan.zones_of(camera_id)
    )
    counts_only = plan.mode_of(camera_id) == "statistics"
    return CameraContext(
        camera=info,
        ruling=ruling(plan.policy_of(camera_id)),
        zones=zones,
        incidents=() if counts_only else tuple(rule for rule in plan.incidents if rule.zone is None),
        counts_only=counts_only,
        window_ms=plan.statistics.window_ms,
        pictures=plan.pictures_of(camera_id),
        limits=limits,
        host=host,
    )
