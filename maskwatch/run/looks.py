"""When pictures of each camera were taken that were looked at: what a run could know of the scene."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from common.schema import FrameResult


class Looks:
    """Notes the pictures of a run. One thread notes; ask when it is over.

    Args:
        lapse_s: Between pictures further apart than this, s, nothing was seen.
    """

    def __init__(self, lapse_s: float) -> None:
        self._lapse_s = lapse_s
        self._taken: dict[str, list[float]] = {}

    def note(self, result: FrameResult) -> None:
        """Note a picture that was looked at."""
        self._taken.setdefault(result.camera, []).append(result.captured_at)

    def seen_s(self, camera: str, start: float, end: float) -> float:
        """Say for how many seconds between two Unix times the camera was seen."""
        taken = sorted(self._taken.get(camera, ()))
        inside = taken[bisect_left(taken, start) : bisect_right(taken, end)]
        steps = (b - a for a, b in pairwise([start, *inside, end]))
        return sum(step for step in steps if step <= self._lapse_s)
