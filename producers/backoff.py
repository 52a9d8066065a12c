"""How long to wait before trying again: longer each time, and never in step with others."""

from __future__ import annotations

import random


class Backoff:
    """Jittered exponential pauses; pure but for its random numbers.

    Args:
        first_s: Upper bound of the first pause, s.
        most_s: Upper bound of every pause, s.
        rng: Where the jitter comes from; None: a generator of its own.
    """

    def __init__(self, first_s: float, most_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._bound_s = first_s

    def next_s(self) -> float:
        """Give the next pause, s: between half of the present bound and the bound, which then doubles."""
        bound = min(self._bound_s, self._most_s)
        self._bound_s = min(2 * bound, self._most_s)
        return bound * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Start again from the first pause, after things went well."""
        self._bound_s = self._first_s
