"""Pictures of an evaluation (needs matplotlib): curves, tables, and sheets of the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from common.errors import FrameRejectedError
from common.geometry import square_around
from common.images import Picture, crop, read_picture, resize
from common.models.manifest import LABELS
from trainer.evaluate.crops import CropRecord, CropTally
from trainer.evaluate.mistakes import Mistake
from trainer.evaluate.scenes import SceneRecord, SceneTally
from trainer.evaluate.verdicts import Verdicts
from trainer.scores import plots

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TILE_PX = 128
AROUND = 0.4
Drawn = list[tuple[str, str]]
"""Title and file name of each picture."""


def draw_scenes(records: Sequence[SceneRecord], threshold: float, folder: Path) -> Drawn:
    """Draw precision over recall by source, recall by size, confusion and reliability."""
    sources = sorted({record.truth.source for record in records})
    chosen = {source: [one for one in records if one.truth.source == source] for source in sources}
    curves = {name: SceneTally.of(some, threshold).curve() for name, some in {**chosen, "all": records}.items()}
    plots.plot_precision_recall(curves, folder / "precision-recall.png")
    tally = SceneTally.of(records, threshold)
    plot_sizes(tally.recall_by_size(), folder / "recall-by-size.png")
    drawn = [("Precision over recall of faces", "precision-recall.png"), ("Faces found, by size", "recall-by-size.png")]
    return drawn + _draw_verdicts(tally.judged.large, folder)


def draw_crops(records: Sequence[CropRecord], folder: Path) -> Drawn:
    """Draw confusion and reliability."""
    return _draw_verdicts(CropTally.of(records).verdicts, folder)


def draw_mistakes(sheets: Mapping[str, Sequence[Mistake]], folder: Path) -> Drawn:
    """Draw one sheet for each kind of mistake; none where there is no such mistake."""
    drawn: Drawn = []
    for number, (title, mistakes) in enumerate(sheets.items(), 1):
        if mistakes:
            name = f"mistakes-{number}.png"
            _sheet(mistakes, folder / name)
            drawn.append((title, name))
    return drawn


def plot_sizes(sizes: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw the share of faces found for each size bucket, in all and by label, with the counts."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    series = {"all": ("recall", "support"), **{label: (label, f"{label}_support") for label in LABELS}}
    width = 0.8 / len(series)
    for number, (name, (key, support)) in enumerate(series.items()):
        places = np.arange(len(sizes)) + (number - 1.5) * width
        bars = axes.bar(places, np.nan_to_num([row[key] for row in sizes.values()]), width, label=name)
        axes.bar_label(bars, [f"{row[support]:.0f}" for row in sizes.values()], fontsize=6)
    axes.set_xticks(range(len(sizes)), [f"{bucket} px" for bucket in sizes])
    axes.set(ylabel="share found", ylim=(0, 1.2))
    axes.legend(fontsize=7, loc="upper center", ncols=len(series))
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a figure and let it go."""
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_verdicts(verdicts: Verdicts, folder: Path) -> Drawn:
    drawn: Drawn = []
    if (verdicts.said >= 0).any():
        plots.plot_confusion(np.array(verdicts.confusion()), folder / "confusion.png")
        drawn.append(("Confusion of verdicts", "confusion.png"))
    sure = verdicts.sure
    if len(sure.truth):
        plots.plot_reliability(sure.probabilities, sure.truth, folder / "reliability.png")
        drawn.append(("How often it is right, by how sure it is", "reliability.png"))
    return drawn


def _sheet(mistakes: Sequence[Mistake], path: Path) -> None:
    columns = 8
    rows = -(-len(mistakes) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(12, 1.75 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, mistake in zip(grid.flat, mistakes, strict=False):
        axes.imshow(_tile(mistake)[..., ::-1])
        axes.set_title(f"{mistake.words}\n{Path(mistake.file).name}", fontsize=6)
    save(figure, path)


def _tile(mistake: Mistake) -> Picture:
    try:
        picture = read_picture(mistake.path)
    except FrameRejectedError:
        return np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    if not np.isfinite(mistake.box).all():
        return resize(picture, (TILE_PX, TILE_PX))
    return crop(picture, square_around(mistake.box, AROUND), TILE_PX)
