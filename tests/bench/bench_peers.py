"""Public face detectors against the bundled one, on the same pictures and scored by the same code.

``python -m tests.bench.bench_peers DATA WEIGHTS OUT``: a folder that holds ``faces.jsonl``, one that holds the public
weights (``yunet_n_640_640.onnx``, ``opencv_face_detector_uint8.pb`` and ``.pbtxt``), and one for the predictions.
Prints a Markdown table; each row can be had alone: ``maskwatch evaluate scenes DATA --predictions OUT/NAME.jsonl``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from common.geometry import Letterbox
from common.images import Picture, read_picture
from common.lifecycle import StopSignal
from common.models.manifest import bundled, read_manifest
from common.models.preprocess import choose_canvas, letterbox
from common.settings import shared_folder
from maskwatch.evaluate.evaluation import Request, score
from trainer.evaluate.found import Found, write_predictions
from trainer.evaluate.truth import SceneTruth, index_of, read_scenes
from workers.infer.vision.canvas import CANVASES

LOWEST_SCORE = 0.02
MOST_FACES = 100
UNKNOWN = (float("nan"),) * 3
Detector = Callable[[Picture], tuple[Any, Any]]
"""Picture in, boxes x1 y1 x2 y2 px and scores out."""


def yunet(weights: Path) -> Detector:
    """The public YuNet-n on production's canvases, decoded by OpenCV; overlap limit as the bundled detector's."""
    max_iou = read_manifest(bundled("detector") / "manifest.json").thresholds["iou"]
    network = cv2.FaceDetectorYN.create(
        str(weights / "yunet_n_640_640.onnx"), "", (640, 640), LOWEST_SCORE, max_iou, 5000
    )

    def detect(picture: Picture) -> tuple[Any, Any]:
        canvas = choose_canvas((picture.shape[1], picture.shape[0]), CANVASES)
        pixels, fit = letterbox(picture, canvas)
        network.setInputSize(canvas)
        faces = network.detect(pixels)[1]
        return _from_canvas(np.zeros((0, 15), np.float32) if faces is None else faces[:MOST_FACES], fit)

    return detect


def ssd(weights: Path) -> Detector:
    """The 300×300 SSD of OpenCV's samples: the whole picture squeezed into a square, as the well-known scripts do."""
    network = cv2.dnn.readNetFromTensorflow(
        str(weights / "opencv_face_detector_uint8.pb"), str(weights / "opencv_face_detector.pbtxt")
    )

    def detect(picture: Picture) -> tuple[Any, Any]:
        network.setInput(cv2.dnn.blobFromImage(picture, 1.0, (300, 300), (104, 177, 123)))
        found = network.forward().reshape(-1, 7)
        found = found[found[:, 2] >= LOWEST_SCORE]
        height, width = picture.shape[:2]
        return found[:, 3:7] * np.array([width, height, width, height], np.float32), found[:, 2]

    return detect


def _from_canvas(faces: Any, fit: Letterbox) -> tuple[Any, Any]:
    boxes = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], axis=1)
    return fit.to_picture(boxes), faces[:, 14]


def predict(detect: Detector, truths: list[SceneTruth], path: Path) -> float:
    """Write what a detector finds; give its time a picture, ms of this process."""
    answers, spent = [], 0.0
    for truth in truths:
        picture = read_picture(truth.path)
        begun = time.process_time()
        boxes, scores = detect(picture)
        spent += time.process_time() - begun
        nothing = np.full(len(boxes), -1, np.int64)
        found = Found(np.asarray(boxes), np.asarray(scores), nothing, np.array([UNKNOWN] * len(boxes)).reshape(-1, 3))
        answers.append((truth.file, found))
    write_predictions(path, answers)
    return 1000 * spent / len(truths)


def scored(request: Request) -> dict[str, Any]:
    return score(request, StopSignal()).result


def measure(data: Path, weights: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Write what each public detector finds and score it beside the bundled one."""
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    truths, _ = read_scenes(index_of(data, "scenes"), "val")
    rows = {"bundled": scored(Request("scenes", data, "val", 640))}
    for name, build in (("yunet-n", yunet), ("opencv-ssd-300", ssd)):
        path = out / f"{name}.jsonl"
        spent_ms = predict(build(weights), truths, path)
        print(f"{name}: {spent_ms:.1f} ms of processor time a picture, scaling included", file=sys.stderr)
        rows[name] = scored(Request("scenes", data, "val", 640, predictions=path))
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    sources = list(rows["bundled"]["sources"])
    lines = ["| faces AP | " + " | ".join([*sources, "all"]) + " |", "|---" * (len(sources) + 2) + "|"]
    for name, report in rows.items():
        figures = [report["sources"][source]["faces_ap"] for source in sources] + [report["faces_ap"]]
        lines.append(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    return "\n".join(lines)


SHARED = shared_folder()


@pytest.mark.shared
@pytest.mark.skipif(SHARED is None, reason="needs the pictures and weights beside the repository")
def test_the_bundled_detector_sees_masked_faces_that_the_public_ones_miss(tmp_path: Path) -> None:
    assert SHARED is not None
    rows = measure(SHARED / "data" / "scenes", SHARED / "weights", tmp_path)
    print("\n" + table(rows))
    for source in ("voc853", "voc853hi", "portraits"):
        best = max(rows[name]["sources"][source]["faces_ap"] for name in ("yunet-n", "opencv-ssd-300"))
        assert rows["bundled"]["sources"][source]["faces_ap"] > best + 0.05


if __name__ == "__main__":
    print(table(measure(*(Path(argument) for argument in sys.argv[1:4]))))
