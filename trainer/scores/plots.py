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
from trainer.scores.scoring import calibration_error

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_history(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss (training and, where it is known, validation) and the other scores over the epochs."""
    epochs = [record["epoch"] for record in history]
    keys = [key for key in history[-1] if key not in {"epoch", "rate", "seconds"}]
    figure, sides = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for key in keys:
        axes = sides[0] if "loss" in key else sides[1]
        name = {"loss": "training", "val_loss": "validation"}.get(key, key.replace("_", " "))
        axes.plot(epochs, [record.get(key, float("nan")) for record in history], marker="o", markersize=3, label=name)
    sides[0].set(title="loss", xlabel="epoch")
    sides[1].set(title="accuracy" if "accuracy" in keys else "validation", xlabel="epoch")
    for axes in sides:
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.lines:
            axes.legend(fontsize=7)
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


def plot_reliability(
    probabilities: FloatArray,
    truth: NDArray[np.int64],
    path: Path,
    bins: int = 12,
    before: FloatArray | None = None,
) -> None:
    """Draw how often the classifier is right over how sure it says it is; ``before``: the same without temperature."""
    figure, axes = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    for name, said in (("before temperature", before), ("calibrated", probabilities)):
        if said is None:
            continue
        confidence, right = said.max(axis=1), said.argmax(axis=1) == truth
        which = np.minimum((confidence * bins).astype(int), bins - 1)
        used = np.unique(which)
        error = calibration_error(said, truth)
        points = ([confidence[which == b].mean() for b in used], [right[which == b].mean() for b in used])
        axes.plot(*points, marker="o", markersize=4, label=f"{name}: error {error:.1%}")
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0.3, 1.01), ylim=(0, 1.02))
    axes.legend(fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)
    _save(figure, path)


def plot_size_recall(by_size: Mapping[str, Mapping[str, float | None]], path: Path, names: Sequence[str]) -> None:
    """Draw recall by size bucket of the face, a bar for each name, its support above it."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    width = 0.8 / len(names)
    for position, name in enumerate(names):
        places = np.arange(len(by_size)) + (position - (len(names) - 1) / 2) * width
        recall = [row.get(name) or 0.0 for row in by_size.values()]
        axes.bar(places, recall, width * 0.92, label=name)
        for place, height, row in zip(places, recall, by_size.values(), strict=True):
            support = f"{row.get(f'{name}_support') or 0:.0f}"
            axes.text(place, height + 0.01, support, ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(by_size)), [f"{bucket} px" for bucket in by_size])
    axes.set(ylabel="recall", ylim=(0, 1.12), xlabel="longer side of the face (number of faces above the bar)")
    axes.legend(fontsize=8, loc="lower left", framealpha=0.95)
    _save(figure, path)


def plot_mistakes(
    crops: NDArray[np.uint8], probabilities: FloatArray, truth: NDArray[np.int64], path: Path, most: int = 40
) -> None:
    """Show the surest wrong verdicts: crop, true label, said label, confidence."""
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != truth)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:most]
    titles = [f"{LABELS[truth[i]]} → {LABELS[said[i]]} {probabilities[i].max():.2f}" for i in wrong]
    plot_sheet([crops[i] for i in wrong], titles, path)


def plot_sheet(pictures: Sequence[NDArray[np.uint8]], titles: Sequence[str], path: Path) -> None:
    """Show small pictures, uint8 (S, S, 3) BGR, in a grid of eight columns, each under its title."""
    rows = max(1, -(-len(pictures) // 8))
    figure, grid = plt.subplots(rows, 8, figsize=(11, 1.65 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
        axes.imshow(picture[..., ::-1])
        axes.set_title(title, fontsize=6)
    if not pictures:
        grid.flat[0].text(0, 0.5, "no mistake")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
