"""What a larger or smaller canvas finds, and what it costs: faces by ``detect_px``.

``python -m tests.bench.bench_detect_px SCENES [--plot FILE]``: the production path on the validation pictures for each
long side, then the detector alone on a lying canvas of each, in turn. Prints Markdown tables: average precision by
source; recall by the size of faces on the canvas, which a camera's picture can be reckoned by.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import Letterbox
from common.images import read_picture
from common.lifecycle import StopSignal
from common.models.preprocess import choose_canvas
from maskwatch.evaluate.evaluation import examine
from maskwatch.evaluate.examinee import Production
from trainer.evaluate.scenes import MISSED, SceneRecord, SceneTally
from trainer.evaluate.truth import SceneTruth, read_scenes
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.infer.vision.canvas import canvases_of

SIDES = (320, 384, 480, 640, 960)
BUCKETS = ((0, 8), (8, 12), (12, 16), (16, 24), (24, 32), (32, 10_000))
ROUNDS = 30


def looked_at(truths: list[SceneTruth], side: int) -> tuple[list[SceneRecord], float]:
    """Find the faces of all pictures on canvases of a long side, and give the threshold at work."""
    production = Production(None, side, every_score=True)
    try:
        done = examine(production, truths, StopSignal())
        return [record for record in done.records if isinstance(record, SceneRecord)], production.threshold
    finally:
        production.close()


def sizes_on_canvas(records: list[SceneRecord], side: int) -> NDArray[np.float64]:
    """Give the longer side of every labelled face as the detector sees it, px."""
    sizes: list[NDArray[np.float64]] = []
    for record in records:
        height, width = read_picture(record.truth.path).shape[:2]
        scale = Letterbox.fit((width, height), choose_canvas((width, height), canvases_of(side))).scale
        spans = record.truth.boxes[:, 2:] - record.truth.boxes[:, :2]
        sizes.append(scale * spans.max(axis=1).astype(np.float64))
    return np.concatenate(sizes)


def costs_ms() -> dict[int, float]:
    """Give the detector's processor time for a lying canvas of each long side, ms, measured in turn."""
    backend = open_backend("openvino", *load_models(), BackendOptions(threads=1))
    blank = {side: np.zeros((1, canvases_of(side)[0][1], side, 3), np.uint8) for side in SIDES}
    spent: dict[int, list[float]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side, canvas in blank.items():
            began = time.process_time()
            backend.detect(canvas)
            spent[side].append(1000 * (time.process_time() - began))
    return {side: statistics.median(values[3:]) for side, values in spent.items()}


def draw(table: dict[int, dict[str, Any]], costs: dict[int, float], path: Path) -> None:
    """Draw recall over the size of a face in a frame of 1280 px, a line for each long side."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    edges = [8, 12, 16, 20, 24, 32, 48, 64, 96, 160]
    for side, found in table.items():
        in_frame = found["sizes"] * 1280 / side
        shares, middles = [], []
        for low, high in itertools.pairwise(edges):
            inside = (in_frame >= low) & (in_frame < high)
            if inside.sum() >= 15:
                shares.append(found["there"][inside].mean())
                middles.append((low * high) ** 0.5)
        axes.plot(middles, shares, marker="o", label=f"{side} px, {costs[side] / costs[640]:.2f} of the cost")
    axes.set(xscale="log", xlabel="longer side of a face in a frame 1280 px wide, px", ylabel="share of faces found")
    axes.set_xticks(edges, [str(edge) for edge in edges])
    axes.minorticks_off()
    axes.set_xlim(20, edges[-1])
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(title="detect_px", loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    truths = read_scenes(asked.scenes / "faces.jsonl", "val")[0]
    costs = costs_ms()
    table: dict[int, dict[str, Any]] = {}
    sources = sorted({truth.source for truth in truths})
    print(f"| detect_px | detector's cost | faces AP | {' | '.join(sources)} | recall of 24 px and more | precision |")
    print("|---" * (len(sources) + 5) + "|")
    for side in SIDES:
        records, threshold = looked_at(truths, side)
        tally = SceneTally.of(records, threshold)
        figures = tally.figures()
        by_source = [
            SceneTally.of([one for one in records if one.truth.source == name], threshold).figures()["faces_ap"]
            for name in sources
        ]
        table[side] = {"sizes": sizes_on_canvas(records, side), "there": tally.verdicts.said != MISSED}
        cells = [f"{value:.3f}" for value in (figures["faces_ap"], *by_source, figures["recall_of_24_px"],
                                              figures["precision"])]  # fmt: skip
        print(f"| {side} | {costs[side] / costs[640]:.2f} | {' | '.join(cells)} |", flush=True)
    print("\n| face on the canvas, px | " + " | ".join(str(side) for side in SIDES) + " |")
    print("|---" * (len(SIDES) + 1) + "|")
    for low, high in BUCKETS:
        cells = []
        for side in SIDES:
            inside = (table[side]["sizes"] >= low) & (table[side]["sizes"] < high)
            share = f"{table[side]['there'][inside].mean():.2f}" if inside.any() else "–"
            cells.append(f"{share} ({int(inside.sum())})")
        print(f"| {f'{low}–{high}' if high < 10_000 else f'>{low}'} | {' | '.join(cells)} |")
    if asked.plot is not None:
        draw(table, costs, asked.plot)


if __name__ == "__main__":
    main()
