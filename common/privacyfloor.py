"""The least privacy that an installation asks for: a plan that asks for less is not used."""

from __future__ import annotations

from typing import get_args

from common.errors import SitePlanError
from common.siteplan import PrivacyMode, SitePlan

STRICTER: tuple[PrivacyMode, ...] = get_args(PrivacyMode)
"""The modes, each stricter than the one before."""
_NAMED = 5


def check_floor(plan: SitePlan, floor: PrivacyMode, origin: str) -> None:
    """Refuse a plan under which more personal data would arise than ``floor`` allows.

    Args:
        plan: The plan.
        floor: ``MASKWATCH_PRIVACY_FLOOR``.
        origin: Named in the complaint.

    Raises:
        SitePlanError: The site as a whole, or a camera, has a weaker mode.
    """
    least = STRICTER.index(floor)
    if STRICTER.index(plan.privacy.mode) < least:
        raise SitePlanError(_words(origin, f"privacy.mode: '{plan.privacy.mode}'", floor))
    weak = [camera.id for camera in plan.cameras if STRICTER.index(plan.mode_of(camera.id)) < least]
    if weak:
        more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
        raise SitePlanError(_words(origin, f"privacy of cameras {', '.join(weak[:_NAMED])}{more}", floor))


def _words(origin: str, what: str, floor: PrivacyMode) -> str:
    return f"{origin}: {what} is weaker than '{floor}', which MASKWATCH_PRIVACY_FLOOR asks for"
