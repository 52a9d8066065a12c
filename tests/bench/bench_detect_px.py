"""What a larger or smaller canvas finds and costs, looked at whole or glanced at first: faces by ``detect_px``.

``python -m tests.bench.bench_detect_px SCENES [--plot FILE]``: the production path on the validation pictures for each
way, and on the frames of ``maskwatch bench cpu``, in turn, for what finding faces costs. Prints Markdown tables:
average precision by source; recall by the size of faces on the canvas, which a camera's picture can be reckoned by.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import Letterbox
from common.images import read_picture
from common.lifecycle import StopSignal
from common.models.preprocess import choose_canvas
from maskwatch.bench.frames import bench_frames
from maskwatch.evaluate.evaluation import examine
from maskwatch.evaluate.examinee import Production
from trainer.evaluate.scenes import MISSED, SceneRecord, SceneTally
from trainer.evaluate.truth import SceneTruth, read_scenes
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.infer.vision.canvas import canvases_of
from workers.infer.vision.decoding import decode_frame
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings

WAYS = ((320, False), (384, False), (480, False), (480, True), (640, False), (640, True), (960, False), (960, True),
        (1280, True))  # fmt: skip
"""Long sides, px, and whether a glance comes first."""
USUAL = (640, False)
DRAWN = ((320, False), (480, True), (640, True), (960, True), (1280, True))
FINDING = ("resize", "detect", "boxes")
BUCKETS = ((0, 8), (8, 12), (12, 16), (16, 24), (24, 32), (32, 10_000))
ROUNDS = 8
FRAMES = 32
Way = tuple[int, bool]


def looked_at(truths: list[SceneTruth], way: Way) -> tuple[list[SceneRecord], float]:
    """Find the faces of all pictures one way, and give the threshold at work."""
    os.environ["MASKWATCH_INFER_GLANCE"] = str(way[1]).lower()
    production = Production(None, way[0], every_score=True)
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


def costs_ms() -> dict[Way, float]:
    """Give what finding the faces of a frame costs each way, ms, measured in turn."""
    models = load_models()
    backend = open_backend("openvino", *models, BackendOptions(threads=1))
    frames = [decode_frame(data) for data in bench_frames(FRAMES)]
    spent: dict[Way, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            times: list[float] = []

            def note(stage: str, seconds: float, into: list[float] = times) -> None:
                into += [seconds] * (stage in FINDING)

            settings = PipelineSettings(canvases=canvases_of(way[0]), glance=way[1])
            FacePipeline(backend, *models, settings, note).read([f.picture for f in frames], [f.size for f in frames])
            spent[way].append(1000 * sum(times) / len(frames))
    return {way: statistics.median(values[1:]) for way, values in spent.items()}


def draw(table: dict[Way, dict[str, Any]], costs: dict[Way, float], path: Path) -> None:
    """Draw recall over the size of a face in a frame of 1280 px, a line for each way."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    edges = [8, 12, 16, 20, 24, 32, 48, 64, 96, 160]
    for way in DRAWN:
        found = table[way]
        in_frame = found["sizes"] * 1280 / way[0]
        shares, middles = [], []
        for low, high in itertools.pairwise(edges):
            inside = (in_frame >= low) & (in_frame < high)
            if inside.sum() >= 15:
                shares.append(found["there"][inside].mean())
                middles.append((low * high) ** 0.5)
        axes.plot(middles, shares, marker="o", label=f"{named(way)}, {costs[way] / costs[USUAL]:.2f} of the cost")
    axes.set(xscale="log", xlabel="longer side of a face in a frame 1280 px wide, px", ylabel="share of faces found")
    axes.set_xticks(edges, [str(edge) for edge in edges])
    axes.minorticks_off()
    axes.set_xlim(20, edges[-1])
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(title="detect_px, cost of 640 looked at whole", loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def named(way: Way) -> str:
    return f"{way[0]}, glance first" if way[1] else str(way[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    truths = read_scenes(asked.scenes / "faces.jsonl", "val")[0]
    costs = costs_ms()
    table: dict[Way, dict[str, Any]] = {}
    sources = sorted({truth.source for truth in truths})
    print(f"| detect_px | detector's cost | faces AP | {' | '.join(sources)} | recall of 24 px and more | precision |")
    print("|---" * (len(sources) + 5) + "|")
    for way in WAYS:
        records, threshold = looked_at(truths, way)
        tally = SceneTally.of(records, threshold)
        figures = tally.figures()
        by_source = [
            SceneTally.of([one for one in records if one.truth.source == name], threshold).figures()["faces_ap"]
            for name in sources
        ]
        table[way] = {"sizes": sizes_on_canvas(records, way[0]), "there": tally.verdicts.said != MISSED}
        cells = [f"{value:.3f}" for value in (figures["faces_ap"], *by_source, figures["recall_of_24_px"],
                                              figures["precision"])]  # fmt: skip
        print(f"| {named(way)} | {costs[way] / costs[USUAL]:.2f} | {' | '.join(cells)} |", flush=True)
    print("\n| face on the canvas, px | " + " | ".join(named(way) for way in WAYS) + " |")
    print("|---" * (len(WAYS) + 1) + "|")
    for low, high in BUCKETS:
        cells = []
        for way in WAYS:
            inside = (table[way]["sizes"] >= low) & (table[way]["sizes"] < high)
            share = f"{table[way]['there'][inside].mean():.2f}" if inside.any() else "–"
            cells.append(f"{share} ({int(inside.sum())})")
        print(f"| {f'{low}–{high}' if high < 10_000 else f'>{low}'} | {' | '.join(cells)} |")
    if asked.plot is not None:
        draw(table, costs, asked.plot)


if __name__ == "__main__":
    main()
