"""What the judge is told about a camera from outside: names for its events, and the policy that applies."""

from __future__ import annotations

from dataclasses import dataclass

from common.events import CameraInfo, PolicyInfo
from common.siteplan import SitePlan
from workers.judge.limits import DEFAULT_LIMITS, Limits, Rule


@dataclass(frozen=True, slots=True)
class CameraContext:
    """One camera's part of the plan, in the form that judging needs.

    Attributes:
        camera: Goes into every event.
        policy: Goes into every violation event.
        rule: The policy, prepared.
        limits: The judge's knobs.
        host: Where the judge runs; goes into events for debugging.
    """

    camera: CameraInfo
    policy: PolicyInfo
    rule: Rule
    limits: Limits = DEFAULT_LIMITS
    host: str = ""


def context_of(plan: SitePlan, camera_id: str, *, limits: Limits = DEFAULT_LIMITS, host: str = "") -> CameraContext:
    """Take a camera's context from the plan; one that is not in it is judged under the first policy."""
    camera, policy = plan.camera(camera_id), plan.policy_of(camera_id)
    info = CameraInfo(
        id=camera_id,
        name=(camera and camera.name) or camera_id,
        site=plan.site,
        **({"place": camera.place, "tags": camera.tags} if camera else {}),
    )
    return CameraContext(
        camera=info,
        policy=PolicyInfo(
            id=policy.id, version=policy.version, required=policy.required, grace_ms=round(policy.grace_s * 1000)
        ),
        rule=Rule.of(policy),
        limits=limits,
        host=host,
    )
