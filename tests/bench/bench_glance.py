"""What a glance overlooks: small faces that are alone in a frame, the hardest for it, and small faces among others.

``python -m tests.bench.bench_glance SCENES``: validation pictures are shrunk and put into an empty hall, so that their
largest faces have a given size on the canvas; and at half size, in one quarter of it. Each is looked at whole and at a
glance first. Prints a Markdown table: share of the faces found at work, and the pixels that the detector saw.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.geometry import iou_matrix
from common.images import Picture, read_picture, resize
from producers.scene import SceneCamera
from trainer.evaluate.truth import SceneTruth, read_scenes
from workers.backends.backend import BackendOptions, Pixels, Scores, load_models
from workers.backends.openvino_backend import OpenVinoBackend
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings

FRAME = (640, 360)
SIZES = ((8, 10), (10, 12), (12, 14), (14, 18), (18, 24), (24, 40))
MOST_FACES = 3
MOST_PX = (400, 300)
SAME = 0.4
"""Boxes of faces this small are a pixel off on each side at an overlap of 0.5."""
Shown = tuple[Picture, NDArray[np.float64]]


class Counting(OpenVinoBackend):
    """OpenVINO that counts the pixels it is shown."""

    seen = 0

    def detect(self, canvases: Pixels) -> Scores:
        self.seen += canvases[..., 0].size
        return super().detect(canvases)

    def glance(self, canvases: Pixels) -> Scores:
        self.seen += canvases[..., 0].size
        return super().glance(canvases)


def halls() -> list[Picture]:
    """Give empty halls."""
    return [resize(SceneCamera(f"empty-{number}", 0, (1280, 720)).frame(-1), FRAME) for number in range(6)]


def put(hall: Picture, picture: Picture, factor: float, at: tuple[float, float]) -> tuple[Picture, NDArray[np.float64]]:
    """Put a picture, scaled by ``factor``, into a hall at (x, y), each as a share 0..1 of the way; and say where."""
    width, height = (max(8, int(side * factor)) for side in (picture.shape[1], picture.shape[0]))
    x, y = int(at[0] * (FRAME[0] - width)), int(at[1] * (FRAME[1] - height))
    whole = hall.copy()
    whole[y : y + height, x : x + width] = resize(picture, (width, height))
    return whole, np.array([x, y, x, y], np.float64)


def alone(truths: list[SceneTruth], low: float, high: float) -> list[Shown]:
    """Show pictures of few people, their largest faces ``low`` to ``high`` px long; those are the truth."""
    random, empty, shown = np.random.default_rng(0), halls(), []
    for number, truth in enumerate(one for one in truths if 1 <= len(one.boxes) <= MOST_FACES):
        picture = read_picture(truth.path)
        sizes = (truth.boxes[:, 2:] - truth.boxes[:, :2]).max(axis=1)
        factor, at = random.uniform(low, high) / sizes.max(), (random.random(), random.random())
        if factor > 1 or picture.shape[1] * factor > MOST_PX[0] or picture.shape[0] * factor > MOST_PX[1]:
            continue
        frame, shift = put(empty[number % len(empty)], picture, factor, at)
        shown.append((frame, truth.boxes[sizes >= 0.9 * sizes.max()] * factor + shift))
    return shown


def quartered(truths: list[SceneTruth]) -> list[Shown]:
    """Show every picture at the size of a quarter of the frame, with all of its faces."""
    random, empty, shown = np.random.default_rng(0), halls(), []
    for number, truth in enumerate(truths):
        picture = read_picture(truth.path)
        factor = min(FRAME[0] / 2 / picture.shape[1], FRAME[1] / 2 / picture.shape[0])
        frame, shift = put(empty[number % len(empty)], picture, factor, (random.random(), random.random()))
        shown.append((frame, truth.boxes * factor + shift))
    return shown


def found(pipeline: FacePipeline, shown: list[Shown]) -> tuple[int, int]:
    """Say how many labelled faces are found, and how many there are."""
    hits = total = 0
    for start in range(0, len(shown), 8):
        part = shown[start : start + 8]
        for faces, (_, boxes) in zip(pipeline.read([frame for frame, _ in part]), part, strict=True):
            there = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
            hits += int((iou_matrix(boxes, there).max(axis=1, initial=0) >= SAME).sum())
            total += len(boxes)
    return hits, total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    truths = read_scenes(parser.parse_args().scenes / "faces.jsonl", "val")[0]
    backend = Counting(*load_models(), BackendOptions(threads=1))
    ways = {
        name: FacePipeline(backend, *load_models(), PipelineSettings(glance=glance))
        for name, glance in (("whole", False), ("glance", True))
    }
    print("| faces on the canvas, px | how many | found, whole | found, glance first | pixels seen |")
    print("|---|---|---|---|---|")
    shows = {f"{low}–{high}, alone in a hall": alone(truths, low, high) for low, high in SIZES}
    for name, shown in (shows | {"pictures in a quarter of the frame": quartered(truths)}).items():
        hits, seen, total = {}, {}, 0
        for way, pipeline in ways.items():
            backend.seen = 0
            hits[way], total = found(pipeline, shown)
            seen[way] = backend.seen
        shares = " | ".join(f"{hits[way] / total:.2f}" for way in ways)
        print(f"| {name} | {total} | {shares} | {seen['glance'] / seen['whole']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
