"""What a run is worth: figures by source, label and size, ready for JSON and for the manifest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.faces import FaceSet
from trainer.scoring import calibration_error, class_scores, confusion, false_verdicts, recall_by_size

SMALLEST_JUDGED_PX = 24.0


def classifier_report(faces: FaceSet, probabilities: FloatArray) -> dict[str, Any]:
    """Score verdicts on validation faces: all of at least 24 px, detected ones by source, and everything by size.

    Args:
        faces: Validation faces, cut by the detector.
        probabilities: float32, (M, 3), calibrated.
    """
    guess = probabilities.argmax(axis=1).astype(np.int64)
    large = faces.sizes >= SMALLEST_JUDGED_PX
    report: dict[str, Any] = {
        "faces": len(guess),
        "faces_of_24_px": int(large.sum()),
        "accuracy": float((guess == faces.labels)[large].mean()),
        "calibration_error": calibration_error(probabilities[large], faces.labels[large]),
        "confusion": confusion(faces.labels[large], guess[large]).tolist(),
        "classes": class_scores(confusion(faces.labels[large], guess[large])),
        "by_size": recall_by_size(faces.labels, guess, faces.sizes),
        "by_source_detected": {
            str(source): _source(faces.labels, guess, (faces.sources == source) & large & faces.detected)
            for source in np.unique(faces.sources)
        },
    }
    finished: dict[str, Any] = rounded(report)
    return finished


def _source(truth: NDArray[np.int64], guess: NDArray[np.int64], mine: NDArray[np.bool_]) -> dict[str, Any]:
    truth, guess = truth[mine], guess[mine]
    row: dict[str, Any] = {
        "faces": int(mine.sum()),
        "accuracy": float((guess == truth).mean()) if mine.any() else math.nan,
    }
    row |= false_verdicts(truth, guess)
    for index, label in enumerate(LABELS):
        there = truth == index
        row[f"recall_{label}"] = float((guess[there] == index).mean()) if there.any() else math.nan
        row[f"{label}"] = int(there.sum())
    return row


def rounded(value: Any) -> Any:
    """Round every float to four digits; what cannot be computed becomes None, as JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def source_table(report: dict[str, Any]) -> str:
    """Write the by-source part as a Markdown table."""
    head = ("source", "faces", "accuracy", "masked called unmasked", "unmasked called masked", "incorrect found")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for source, row in report["by_source_detected"].items():
        figures = [
            row["accuracy"],
            row["masked_called_unmasked"],
            row["unmasked_called_masked"],
            row["recall_incorrect"],
        ]
        cells = ["–" if figure is None else f"{figure:.1%}" for figure in figures]
        lines.append("| " + " | ".join([source, str(row["faces"]), *cells]) + " |")
    return "\n".join(lines)


def size_table(report: dict[str, Any]) -> str:
    """Write the by-size part as a Markdown table: recall (support)."""
    lines = ["| face, px | " + " | ".join(LABELS) + " |", "|" + "---|" * (len(LABELS) + 1)]
    for bucket, row in report["by_size"].items():
        cells = ["–" if row[label] is None else f"{row[label]:.1%} ({row[f'{label}_support']:.0f})" for label in LABELS]
        lines.append("| " + " | ".join([bucket, *cells]) + " |")
    return "\n".join(lines)
