"""From predictions and truth to figures: pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, iou_matrix
from common.models.manifest import LABELS

SIZE_BUCKETS = ((0.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, float("inf")))


@dataclass(frozen=True, slots=True)
class ScoredPicture:
    """What a detector found in one picture and what is there.

    Attributes:
        boxes: float32, (K, 4), found, px.
        scores: float32, (K,).
        truth: float32, (T, 4), faces that are there, px.
    """

    boxes: FloatArray
    scores: FloatArray
    truth: FloatArray


def match(found: FloatArray, scores: FloatArray, truth: FloatArray, min_iou: float = 0.5) -> NDArray[np.int64]:
    """Give each found box the face it stands for, best scores first, each face once; int64 (K,), -1 for none."""
    matched = np.full(len(found), -1, np.int64)
    overlap = iou_matrix(found, truth)
    free = np.ones(len(truth), bool)
    for index in np.argsort(-scores, kind="stable"):
        rivals = np.where(free, overlap[index], -1.0)
        best = int(rivals.argmax()) if len(rivals) else -1
        if best >= 0 and rivals[best] >= min_iou:
            matched[index], free[best] = best, False
    return matched


def average_precision(
    pictures: Sequence[ScoredPicture], *, ignore_below_px: float = 0.0, min_iou: float = 0.5
) -> float:
    """Give the area under the precision-recall curve of faces, 0..1 (all points, precision made monotonic).

    Args:
        pictures: What was found and what is there.
        ignore_below_px: Unmatched boxes whose longer side is below this are not counted as wrong.
        min_iou: Overlap from which a box stands for a face.
    """
    return area_under(*precision_recall(pictures, ignore_below_px=ignore_below_px, min_iou=min_iou))


def area_under(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Give the area under a precision-recall curve, 0..1 (all points, precision made monotonic); 0 for none."""
    if not len(recall):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], recall]))
    return float((steps * envelope).sum())


def precision_recall(
    pictures: Sequence[ScoredPicture], *, ignore_below_px: float = 0.0, min_iou: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give recall and precision, each float64 (K,), as the score threshold falls."""
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    faces = 0
    for picture in pictures:
        matched = match(picture.boxes, picture.scores, picture.truth, min_iou)
        large = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(axis=1, initial=0) >= ignore_below_px
        counted = (matched >= 0) | large
        scores.append(picture.scores[counted])
        hits.append(matched[counted] >= 0)
        faces += len(picture.truth)
    return curve(np.concatenate(scores), np.concatenate(hits), float(faces))


def curve(
    scores: NDArray[np.floating], hits: NDArray[np.bool_], faces: float, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give recall and precision, each float64 (K,), as the score threshold falls.

    Args:
        scores: float, (K,).
        hits: bool, (K,), whether each found box stands for a face.
        faces: How many faces are there, weighted as the boxes are; 0 gives empty curves.
        weights: float64, (K,), at least 0: how often each box counts; None counts each once.
    """
    if faces <= 0:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    counts = np.ones(len(order)) if weights is None else weights[order]
    right, said = np.cumsum(counts * hits[order]), np.cumsum(counts)
    return right / faces, right / np.maximum(said, 1e-12)


def confusion(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count guesses: int64, (3, 3), rows truth, columns guess, in label order."""
    table = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(table, (truth, guess), 1)
    return table


def class_scores(table: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Give precision, recall, F1 and support of each label from a confusion table; a ratio over nothing is 0."""
    scores = {}
    for index, label in enumerate(LABELS):
        hits, said, there = float(table[index, index]), float(table[:, index].sum()), float(table[index].sum())
        precision, recall = hits / said if said else 0.0, hits / there if there else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores[label] = {"precision": precision, "recall": recall, "f1": f1, "support": there}
    return scores


def recall_by_size(
    truth: NDArray[np.int64], guess: NDArray[np.int64], sizes: FloatArray
) -> dict[str, dict[str, float]]:
    """Give each label's recall and support by the longer side of the face: <16, 16–32, 32–64, >64 px."""
    table: dict[str, dict[str, float]] = {}
    for low, high in SIZE_BUCKETS:
        inside = (sizes >= low) & (sizes < high)
        row: dict[str, float] = {}
        for index, label in enumerate(LABELS):
            mine = inside & (truth == index)
            row[f"{label}_support"] = float(mine.sum())
            row[label] = float((guess[mine] == index).mean()) if mine.any() else float("nan")
        table[bucket_name(low, high)] = row
    return table


def bucket_name(low: float, high: float) -> str:
    """Name a size bucket: ``<16``, ``16–32``, ``>64``."""
    if low == 0:
        return f"<{high:.0f}"
    return f">{low:.0f}" if high == float("inf") else f"{low:.0f}–{high:.0f}"


def false_verdicts(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, float]:
    """Give the two errors that matter: masked faces called unmasked, and unmasked faces called masked (shares)."""
    masked, bare = truth == LABELS.index("mask"), truth == LABELS.index("no_mask")
    return {
        "masked_called_unmasked": float((guess[masked] == LABELS.index("no_mask")).mean())
        if masked.any()
        else float("nan"),
        "unmasked_called_masked": float((guess[bare] == LABELS.index("mask")).mean()) if bare.any() else float("nan"),
    }


def calibration_error(probabilities: FloatArray, truth: NDArray[np.int64], bins: int = 15) -> float:
    """Give the expected calibration error: how far confidence is from the share that is right, over equal bins."""
    if not len(truth):
        return 0.0
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[which == b].mean() - right[which == b].mean())) * float((which == b).mean())
        for b in np.unique(which)
    ]
    return float(sum(gaps))


def best_temperature(probabilities: FloatArray, truth: NDArray[np.int64]) -> float:
    """Give the temperature, 0.3..5, at which probabilities made at temperature 1 have the least log loss."""
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1.0))
    candidates = np.exp(np.linspace(np.log(0.3), np.log(5.0), 120))
    losses = []
    for temperature in candidates:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(scaled).sum(axis=1))
        losses.append(float((log_sum - scaled[np.arange(len(truth)), truth]).mean()))
    return round(float(candidates[int(np.argmin(losses))]), 4)


def rounded(value: Any) -> Any:
    """Round every float to four digits; what cannot be computed becomes None, as JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
