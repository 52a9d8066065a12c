"""When a failed delivery is tried again: pauses that double up to a limit, with jitter, for hours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times of attempts.

    Attributes:
        first_s: Pause after the first failure, s.
        longest_s: Longest pause, s; a receiver that is back gets its events at most this long afterwards.
        give_up_s: Seconds since the first attempt after which an event is given up.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    give_up_s: float = 86_400.0

    def pause_s(self, failures: int, jitter: float) -> float:
        """Give the pause after so many failures in a row.

        Args:
            failures: At least 1.
            jitter: Random number in [0, 1); 0 takes half of the pause, so that receivers are not hit all at once.
        """
        doublings = min(failures - 1, 40)
        return float(min(self.longest_s, self.first_s * 2**doublings)) * (0.5 + 0.5 * jitter)

    def gives_up(self, first_attempt_s: float, now: float) -> bool:
        """Say whether an event tried first at ``first_attempt_s`` has had its time."""
        return now - first_attempt_s >= self.give_up_s
