"""Which of many streams are asked each time, and which only now and then: idle cameras cost next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FEW = 64
"""So many streams are always asked together."""
ROUND_S = 0.25
"""A stream that shows no pictures is looked at this often, s; so long its first picture may wait."""
LIVELY_S = 20.0
"""A stream is lively for so long, s, after a picture, and after it was first heard of; longer than any take-over."""
TURNS = 5
"""What need not be known at once is asked of a lively stream each time, of any other every fifth time."""


class Attention:
    """Divides streams into lively ones and others; pure, since time is an argument (monotonic s).

    Used by one thread, but for `share`.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._next_round_s = 0.0

    def follow(self, streams: Iterable[str], now: float) -> None:
        """Have these streams from now on; new ones are lively at first, as they may hold anything."""
        self._until = {key: self._until.get(key, now + LIVELY_S) for key in streams}

    def note(self, stream: str, now: float) -> None:
        """Take note of a picture."""
        if stream in self._until:
            self._until[stream] = now + LIVELY_S

    def lively(self, streams: Sequence[str], now: float) -> list[str]:
        """Give the streams that must not wait for a round."""
        if len(self._until) <= FEW:
            return list(streams)
        return [key for key in streams if self._until.get(key, 0.0) > now]

    def others(self, streams: Sequence[str], now: float) -> list[str]:
        """Give the other streams where a round is due, which begins the next; else none."""
        if len(self._until) <= FEW or now < self._next_round_s:
            return []
        self._next_round_s = now + ROUND_S
        return [key for key in streams if self._until.get(key, 0.0) <= now]

    def left_s(self, now: float) -> float:
        """Say how long, s, until the next round."""
        return max(0.0, self._next_round_s - now)

    def share(self, streams: Sequence[str], turn: int, now: float) -> list[str]:
        """Give the lively streams, and of the others a fifth, another with each ``turn``."""
        lively = set(self.lively(streams, now))
        return [key for number, key in enumerate(streams) if key in lively or number % TURNS == turn % TURNS]
