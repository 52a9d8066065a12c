"""Pictures of a run: curves, confusion table, precision-recall, reliability, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_history(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss and validation scores over the epochs."""
    epochs = [record["epoch"] for record in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(epochs, [record["loss"] for record in history], marker="o")
    left.set(title="training loss", xlabel="epoch")
    for key in (key for key in history[-1] if key not in {"epoch", "loss", "rate", "seconds"}):
        right.plot(epochs, [record.get(key, float("nan")) for record in history], marker="o", label=key)
    right.set(title="validation", xlabel="epoch")
    right.legend(fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    _save(figure, path)


def plot_confusion(table: NDArray[np.int64], path: Path) -> None:
    """Draw a confusion table with counts; colours are shares of the row."""
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.1%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set(xlabel="said", ylabel="true")
    _save(figure, path)


def plot_precision_recall(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], path: Path) -> None:
    """Draw precision over recall, one line a name."""
    figure, axes = plt.subplots(figsize=(5, 3.8), layout="constrained")
    for name, (recall, precision) in curves.items():
        axes.plot(recall, precision, label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    _save(figure, path)


def plot_reliability(probabilities: FloatArray, truth: NDArray[np.int64], path: Path, bins: int = 12) -> None:
    """Draw how often the classifier is right over how sure it says it is."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    used = np.unique(which)
    figure, axes = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.plot([confidence[which == b].mean() for b in used], [right[which == b].mean() for b in used], marker="o")
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0.3, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    _save(figure, path)


def plot_mistakes(
    crops: NDArray[np.uint8], probabilities: FloatArray, truth: NDArray[np.int64], path: Path, most: int = 40
) -> None:
    """Show the surest wrong verdicts: crop, true label, said label, confidence."""
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != truth)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:most]
    figure, grid = plt.subplots(5, 8, figsize=(11, 8), layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, wrong, strict=False):
        axes.imshow(crops[index][..., ::-1])
        title = f"{LABELS[truth[index]]} → {LABELS[said[index]]} {probabilities[index].max():.2f}"
        axes.set_title(title, fontsize=6)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
