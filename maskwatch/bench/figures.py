"""Measurements told honestly: the median of interleaved rounds, how far they lie apart, and whether to quote them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDEST = 0.15
"""Distance of the quartiles over the median above which a figure says more about the machine than about the work."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What some rounds of one measurement came to.

    Attributes:
        rounds: One value each.
    """

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Distance between the quartiles, as a share of the median; 0 for fewer than three rounds."""
        if len(self.rounds) < 3 or not self.median:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / abs(self.median)

    @property
    def quotable(self) -> bool:
        """Whether there are enough rounds and they agree."""
        return len(self.rounds) >= 3 and self.spread <= WIDEST

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        return f"{self.median:.{digits}f} ±{50 * self.spread:.0f} %"


def ratios(above: Sequence[float], below: Sequence[float]) -> Figure:
    """Divide measurements of the same rounds by one another: what disturbs one round disturbs both sides of it."""
    return Figure(tuple(a / b for a, b in zip(above, below, strict=True) if b))


@dataclass(slots=True)
class Rounds:
    """Values gathered round by round, by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Add a round's value."""
        self.values.setdefault(name, []).append(value)

    def figure(self, name: str) -> Figure | None:
        """Give what was gathered under a name; None where nothing was."""
        return Figure(tuple(self.values[name])) if self.values.get(name) else None

    def ratio(self, above: str, below: str) -> Figure | None:
        """Give one name's rounds over another's; None where either was not measured."""
        if not self.values.get(above) or not self.values.get(below):
            return None
        return ratios(self.values[above], self.values[below])


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that ``share`` (0..1) of all are at most; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
