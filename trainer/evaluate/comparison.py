"""Two systems on the same pictures: by how much they differ, and whether the pictures at hand can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
CONFIDENCE = 0.95
LOWER_IS_BETTER = frozenset({"masked_called_unmasked", "unmasked_called_masked", "calibration_error"})


class Tally(Protocol):
    """Pictures as arrays, which give figures for any weights of their groups."""

    @property
    def groups(self) -> tuple[int | str, ...]:
        """The groups that the weights count."""

    def figures(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Give the figures."""


def compare(old: Tally, new: Tally, draws: int = DRAWS, seed: int = 1) -> dict[str, dict[str, Any]]:
    """Compare figure by figure, with intervals from drawing groups of near-duplicates again and again.

    Both systems are scored on the same draws, so what makes a draw hard for both cancels out.

    Args:
        old: What there was; its groups are those of ``new``, in the same order.
        new: What shall replace it.
        draws: How often the groups are drawn.
        seed: Of the draws.

    Returns:
        For each figure ``old``, ``new``, ``difference``, ``low`` and ``high`` (95 % interval of it) and ``change``:
        ``better``, ``worse`` (the interval leaves out 0), ``better?``, ``worse?`` (it does not), ``same``, or
        ``unknown`` where one of them has no such figure.

    Raises:
        ValueError: The groups differ.
    """
    if old.groups != new.groups:
        raise ValueError("the two systems were not scored on the same groups")
    before, after = old.figures(), new.figures()
    random = np.random.default_rng(seed)
    count = len(old.groups)
    spread: dict[str, list[float]] = {name: [] for name in before}
    for _ in range(draws if count else 0):
        weights = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        one, other = old.figures(weights), new.figures(weights)
        for name, values in spread.items():
            values.append(other[name] - one[name])
    return {name: _row(name, before[name], after[name], spread[name]) for name in before}


def _row(name: str, old: float, new: float, spread: Sequence[float]) -> dict[str, Any]:
    difference = new - old
    known = np.array([value for value in spread if math.isfinite(value)])
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(v) for v in np.quantile(known, [tail, 1 - tail])) if len(known) else (math.nan, math.nan)
    return {
        "old": old, "new": new, "difference": difference, "low": low, "high": high,
        "change": _change(difference, low, high, -1 if name in LOWER_IS_BETTER else 1),
    }  # fmt: skip


def _change(difference: float, low: float, high: float, good: int) -> str:
    if not math.isfinite(difference):
        return "unknown"
    if difference == 0 and low == high == 0:
        return "same"
    word = "better" if difference * good > 0 else "worse" if difference else "same"
    clear = low > 0 or high < 0
    return word if clear or word == "same" else f"{word}?"


def worse(comparison: dict[str, dict[str, Any]]) -> list[str]:
    """Name the figures that got worse, clearly or not."""
    return [name for name, row in comparison.items() if row["change"].startswith("worse")]
