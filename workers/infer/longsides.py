"""At what size faces are looked for: the long side of the detector's canvas, for each camera as the plan says."""

from __future__ import annotations

from collections.abc import Iterable

from common.siteplan import SitePlan


class LongSides:
    """Follows the plan in one thread and answers in another.

    Args:
        usual_px: For cameras of which the plan says nothing.
    """

    def __init__(self, usual_px: int) -> None:
        self._usual_px = usual_px
        self._special: dict[str, int] = {}

    def follow(self, plan: SitePlan) -> None:
        """Do as a new plan says; a camera that left it is looked at as usual."""
        self._special = {camera.id: camera.detect_px for camera in plan.cameras if camera.detect_px is not None}

    def of(self, cameras: Iterable[str]) -> list[int]:
        """Give the long side, px, for a frame of each camera."""
        special = self._special
        return [special.get(camera, self._usual_px) for camera in cameras]
