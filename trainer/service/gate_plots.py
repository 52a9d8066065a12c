"""Pictures of a gate's report. No picture shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from trainer.learning.fit import History
from trainer.scores import plots
from trainer.scores.scoring import confusion
from trainer.service.slices import Answers, Slice

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DIFFERENCES = "differences.png"
PICTURES = {
    DIFFERENCES: "Accuracy: candidate minus current, with its 95 % interval",
    "confusion_current.png": "Confusion on the fixed set: the version in force",
    "confusion_candidate.png": "Confusion on the fixed set: the candidate",
    "reliability_current.png": "Reliability: the version in force",
    "reliability_candidate.png": "Reliability: the candidate",
    "curves.png": "Loss and scores over the epochs",
}


def draw_gate(run: Path, parts: Sequence[Slice], fixed: Answers, history: History) -> None:
    """Draw every picture of a report into the run folder."""
    plot_differences(parts, run / DIFFERENCES)
    for name, chances in (("current", fixed.current), ("candidate", fixed.candidate)):
        said = chances.argmax(axis=1).astype(np.int64)
        plots.plot_confusion(confusion(fixed.truth, said), run / f"confusion_{name}.png")
        plots.plot_reliability(chances, fixed.truth, run / f"reliability_{name}.png")
    if history:
        plots.plot_history(history, run / "curves.png")


def plot_differences(parts: Sequence[Slice], path: Path) -> None:
    """Draw how much accuracy each slice gains or loses, with the interval of it."""
    shown = [part for part in parts if np.isfinite(part.rows["accuracy"]["difference"])]
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.3 * max(1, len(shown))), layout="constrained")
    for place, part in enumerate(reversed(shown)):
        row = part.rows["accuracy"]
        colour = "tab:red" if row["high"] < 0 else "tab:green" if row["low"] > 0 else "tab:gray"
        axes.plot([100 * row["low"], 100 * row["high"]], [place, place], color=colour)
        axes.plot(100 * row["difference"], place, "o", color=colour, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{part.kind} {part.name} ({part.faces})" for part in reversed(shown)])
    axes.set(xlabel="accuracy gained, percentage points")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90)
    plt.close(figure)
