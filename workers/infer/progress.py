"""Whether work moves: what liveness asks, and what decides that a hung worker must end."""

from __future__ import annotations

import threading


class Progress:
    """Remembers when each activity last moved; time is an argument, monotonic seconds. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moved: dict[str, float] = {}

    def beat(self, activity: str, now: float) -> None:
        """Say that an activity goes on."""
        with self._lock:
            self._moved[activity] = now

    def renew(self, activity: str, now: float) -> None:
        """Say that an activity goes on, if it is under way at all."""
        with self._lock:
            if activity in self._moved:
                self._moved[activity] = now

    def rest(self, activity: str) -> None:
        """Say that an activity is over, so that nobody waits for its next beat."""
        with self._lock:
            self._moved.pop(activity, None)

    def stalled(self, now: float, limit_s: float) -> str:
        """Name an activity that has not moved for more than ``limit_s`` seconds; empty while all is well."""
        with self._lock:
            for activity, moved in self._moved.items():
                if now - moved > limit_s:
                    return f"{activity} has not moved for {now - moved:.0f} s"
        return ""
