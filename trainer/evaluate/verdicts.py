"""Figures of verdicts: right or wrong, which way wrong, and whether the system knows how sure it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from trainer.scores.scoring import confusion

JUDGED_PX = 24.0
"""Smaller faces get no verdict at work; the two errors that matter are counted from here."""
BINS = 15
MASK, NO_MASK, INCORRECT = range(3)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Labelled faces and what was said of them.

    Attributes:
        unit: int64, (T,), number of the group of near-duplicates.
        truth: int64, (T,), index into the label order.
        said: int64, (T,), the same; negative for none.
        probabilities: float32, (T, 3), NaN where the system gives none.
        sizes: float32, (T,), longer side of the face, px.
    """

    unit: NDArray[np.int64]
    truth: NDArray[np.int64]
    said: NDArray[np.int64]
    probabilities: FloatArray
    sizes: FloatArray

    def select(self, chosen: NDArray[np.bool_]) -> Verdicts:
        """Give some of them."""
        return Verdicts(*(getattr(self, name)[chosen] for name in self.__slots__))

    @property
    def large(self) -> Verdicts:
        """Those of faces of at least 24 px."""
        return self.select(self.sizes >= JUDGED_PX)

    @property
    def sure(self) -> Verdicts:
        """Those with probabilities."""
        return self.select(np.isfinite(self.probabilities).all(axis=1) & (self.said >= 0))

    def figures(self, each: NDArray[np.float64]) -> dict[str, float]:
        """Give the figures; NaN where there is nothing to compute one of. ``each`` is the weight of each group."""
        large = self.large
        weights = each[large.unit]
        masked, bare, wrong_way = (large.truth == label for label in (MASK, NO_MASK, INCORRECT))
        return {
            "accuracy": share(self.said == self.truth, each[self.unit]),
            "accuracy_of_24_px": share(large.said == large.truth, weights),
            "masked_called_unmasked": share(large.said[masked] == NO_MASK, weights[masked]),
            "unmasked_called_masked": share(large.said[bare] == MASK, weights[bare]),
            "incorrect_found": share(large.said[wrong_way] == INCORRECT, weights[wrong_way]),
            "calibration_error": _calibration_error(large.sure, each),
        }

    def confusion(self) -> list[list[int]]:
        """Count: rows truth, columns said, in label order; faces without a verdict are left out."""
        given = self.said >= 0
        table: list[list[int]] = confusion(self.truth[given], self.said[given]).tolist()
        return table

    def reliability(self) -> list[dict[str, float]]:
        """Give confidence, share that is right and count in equal bins of confidence; faces of at least 24 px."""
        bins, confidence, right = _binned(self.large.sure)
        return [
            {
                "confidence": float(confidence[bins == b].mean()),
                "right": float(right[bins == b].mean()),
                "faces": int((bins == b).sum()),
            }
            for b in np.unique(bins)
        ]


def share(yes: NDArray[np.bool_], weights: NDArray[np.float64] | None = None) -> float:
    """Give the (weighted) share of true values; NaN of nothing."""
    if weights is None:
        return float(yes.mean()) if len(yes) else float("nan")
    total = float(weights.sum())
    return float((weights * yes).sum()) / total if total > 0 else float("nan")


def summary(verdicts: Verdicts) -> dict[str, Any]:
    """Give the tables that are no single numbers."""
    large = verdicts.large
    return {
        "confusion": verdicts.confusion(),
        "confusion_of_24_px": large.confusion(),
        "faces_judged": int((verdicts.said >= 0).sum()),
        "faces_judged_of_24_px": int((large.said >= 0).sum()),
        "reliability": verdicts.reliability(),
    }


def _binned(sure: Verdicts) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    confidence = sure.probabilities.max(axis=1, initial=0).astype(np.float64)
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1), confidence, sure.said == sure.truth


def _calibration_error(sure: Verdicts, each: NDArray[np.float64]) -> float:
    weights = each[sure.unit]
    if weights.sum() <= 0:
        return float("nan")
    bins, confidence, right = _binned(sure)
    gaps = np.bincount(bins, weights * (confidence - right), BINS)
    return float(np.abs(gaps).sum() / weights.sum())
