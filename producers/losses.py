"""Which lost cameras the log tells of: a thousand dead ones must not drown the one that died just now."""

from __future__ import annotations

import threading

AGAIN_S = 600.0
"""A camera that stays lost for the same reason is told of again after this."""
BURST = 20
"""Lines of one reason in `BURST_S` seconds, over all cameras of the process."""
BURST_S = 10.0


class Losses:
    """Lets a line through for each camera and reason that is new; pure but for its memory. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._said: dict[str, tuple[str, float]] = {}
        self._bursts: dict[str, tuple[float, int]] = {}
        self._held = 0

    def permit(self, camera: str, reason: str, now: float) -> int | None:
        """Ask for a line: None to stay silent, else how many lines of all cameras were held back before it.

        Args:
            camera: Camera id.
            reason: One of few kinds, such as the error's class; never its text.
            now: Monotonic time, s.
        """
        with self._guard:
            said, at = self._said.get(camera, ("", float("-inf")))
            if (said == reason and now - at < AGAIN_S) or not self._room(reason, now):
                self._held += 1
                return None
            self._said[camera] = (reason, now)
            held, self._held = self._held, 0
            return held

    def forget(self, camera: str) -> None:
        """Forget a camera that delivers, or has left: its next loss is news."""
        with self._guard:
            self._said.pop(camera, None)

    def _room(self, reason: str, now: float) -> bool:
        began, count = self._bursts.get(reason, (now, 0))
        if now - began >= BURST_S:
            began, count = now, 0
        self._bursts[reason] = (began, count + 1)
        return count < BURST
