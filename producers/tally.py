"""When a camera must be spoken of again, and what its mark says; pure, since time is an argument."""

from __future__ import annotations

from common.schema import CameraState
from producers.picture_state import Condition

OFFLINE_BEATS = 3.5
"""Heartbeats between two words on a camera that stays offline: 7 s by default, less than the judge's 8 s of silence."""


class Tally:
    """Decides when a mark is due and measures the rate of frames between marks.

    Args:
        heartbeat_s: Longest silence, s; `OFFLINE_BEATS` times as long once an offline camera has been told of twice.
        now: Time, s, on the clock that all calls use.
    """

    def __init__(self, heartbeat_s: float, now: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._said: Condition | None = None
        self._said_at = now
        self._repeated = False
        self._frames = 0
        self._counted_from = now
        self.fps = 0.0

    def count(self) -> None:
        """Note a frame."""
        self._frames += 1

    def due(self, condition: Condition, now: float) -> bool:
        """Say whether to speak: on every change, and after the longest silence."""
        return self.due_in_s(condition, now) <= 0

    def due_in_s(self, condition: Condition | None, now: float) -> float:
        """Give the time, s, until there is something to say if nothing changes; 0 or less: now."""
        if condition is not self._said:
            return 0.0
        return self._said_at + self._silence_s() - now

    def measure(self, now: float) -> float:
        """Give frames a second since the last measurement that spanned half a heartbeat or more."""
        span_s = now - self._counted_from
        if span_s >= self._heartbeat_s / 2:
            self.fps = self._frames / span_s
            self._frames, self._counted_from = 0, now
        return self.fps

    def said(self, condition: Condition, now: float) -> None:
        """Note that the broker has taken the mark."""
        self._repeated = condition is self._said
        self._said, self._said_at = condition, now

    def _silence_s(self) -> float:
        offline = self._said is not None and self._said.state is CameraState.OFFLINE
        # The first word may have been lost on its way, so the second comes as soon as any other.
        return self._heartbeat_s * (OFFLINE_BEATS if offline and self._repeated else 1)
