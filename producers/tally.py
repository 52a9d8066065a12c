"""When a camera must be spoken of again, and what its mark says; pure, since time is an argument."""

from __future__ import annotations

from producers.picture_state import Condition


class Tally:
    """Decides when a mark is due and measures the rate of frames between marks.

    Args:
        heartbeat_s: Longest silence, s.
        now: Time, s, on the clock that all calls use.
    """

    def __init__(self, heartbeat_s: float, now: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._said: Condition | None = None
        self._said_at = now
        self._frames = 0
        self._counted_from = now
        self.fps = 0.0

    def count(self) -> None:
        """Note a frame."""
        self._frames += 1

    def due(self, condition: Condition, now: float) -> bool:
        """Say whether to speak: on every change, and after ``heartbeat_s``."""
        return condition is not self._said or now - self._said_at >= self._heartbeat_s

    def measure(self, now: float) -> float:
        """Give frames a second since the last measurement that spanned half a heartbeat or more."""
        span_s = now - self._counted_from
        if span_s >= self._heartbeat_s / 2:
            self.fps = self._frames / span_s
            self._frames, self._counted_from = 0, now
        return self.fps

    def said(self, condition: Condition, now: float) -> None:
        """Note that the broker has taken the mark."""
        self._said, self._said_at = condition, now
