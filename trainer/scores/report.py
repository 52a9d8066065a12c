"""What a run is worth: figures by source, label and size, ready for JSON and for the manifest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.faces.cuts import FaceSet
from trainer.scores.scoring import calibration_error, class_scores, confusion, false_verdicts, recall_by_size, rounded

__all__ = ["classifier_report", "rounded", "size_table", "source_table"]

SMALLEST_JUDGED_PX = 24.0


def judged_faces(faces: FaceSet) -> NDArray[np.bool_]:
    """Say which faces count: those of at least 24 px, or all where none is so large; bool, (M,)."""
    large: NDArray[np.bool_] = faces.sizes >= SMALLEST_JUDGED_PX
    return large if large.any() else np.ones(len(large), bool)


def classifier_report(faces: FaceSet, probabilities: FloatArray) -> dict[str, Any]:
    """Score verdicts on validation faces: all of at least 24 px, detected ones by source, and everything by size.

    Args:
        faces: Validation faces, cut by the detector.
        probabilities: float32, (M, 3), calibrated.
    """
    guess = probabilities.argmax(axis=1).astype(np.int64)
    large = judged_faces(faces)
    report: dict[str, Any] = {
        "faces": len(guess),
        "faces_of_24_px": int((faces.sizes >= SMALLEST_JUDGED_PX).sum()),
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


def classification_text(classes: dict[str, dict[str, float]], accuracy: float | None) -> str:
    """Write precision, recall, F1 and support of each class as plain text, with their mean and the accuracy."""
    head = f"{'':12}{'precision':>11}{'recall':>11}{'f1':>11}{'support':>11}"
    lines = [head, ""]
    for label, row in classes.items():
        lines.append(f"{label:12}{row['precision']:11.4f}{row['recall']:11.4f}{row['f1']:11.4f}{row['support']:11.0f}")
    there = [row for row in classes.values() if row["support"]]
    total = sum(row["support"] for row in there)
    means = [sum(row[key] for row in there) / max(1, len(there)) for key in ("precision", "recall", "f1")]
    lines += ["", f"{'mean':12}" + "".join(f"{mean:11.4f}" for mean in means) + f"{total:11.0f}"]
    lines += [f"{'accuracy':12}{'':22}{math.nan if accuracy is None else accuracy:11.4f}{total:11.0f}", ""]
    return "\n".join(lines)


def class_curves(
    probabilities: FloatArray, truth: NDArray[np.int64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Give recall and precision of each class against the rest as its probability threshold falls."""
    curves = {}
    for index, label in enumerate(LABELS):
        right = (truth == index)[np.argsort(-probabilities[:, index], kind="stable")]
        if right.any():
            hits = np.cumsum(right)
            curves[label] = (hits / right.sum(), hits / np.arange(1, len(right) + 1))
    return curves
