"""Score a trained network on its validation data and draw what the run folder shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from common.geometry import FloatArray, square_around
from common.images import Picture, crop
from common.models.manifest import LABELS
from common.models.networks import DetectorGraph
from common.models.yunet import YuNet
from trainer.faces.finder import FaceFinder
from trainer.files import replace_file
from trainer.learning.classifier import ClassifierTask
from trainer.learning.detector import UNBOXED_PX, DetectorTask
from trainer.scores import plots
from trainer.scores.report import class_curves, classification_text, classifier_report, judged_faces, rounded
from trainer.scores.scoring import (
    SIZE_BUCKETS,
    ScoredPicture,
    average_precision,
    best_temperature,
    bucket_name,
    confusion,
    match,
    precision_recall,
)

console = Console(stderr=True)
SHOWN_SCORE = 0.5  # mistakes are shown, and recall by size counted, at this score of the detector
SHEET_SIDE_PX = 96


def judge_classifier(run: Path, task: ClassifierTask, plain: FloatArray) -> dict[str, Any]:
    """Calibrate on the validation faces, score, and draw the pictures.

    Args:
        run: Run folder.
        task: The trained task.
        plain: float32, (M, 3), probabilities of the validation faces at temperature 1.
    """
    faces, judged = task.val_faces, judged_faces(task.val_faces)
    truth = faces.labels[judged]
    temperature = best_temperature(plain[judged], truth)
    scaled = plain.astype(np.float64) ** (1 / temperature)
    calibrated = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    report = {"temperature": temperature, **classifier_report(faces, calibrated)}
    said = calibrated[judged]
    plots.plot_confusion(confusion(truth, said.argmax(axis=1)), run / "confusion.png")
    plots.plot_precision_recall(class_curves(said, truth), run / "precision_recall.png")
    plots.plot_reliability(said, truth, run / "reliability.png", before=plain[judged])
    plots.plot_size_recall(report["by_size"], run / "by_size.png", LABELS)
    plots.plot_mistakes(task.val_crops[judged], said, truth, run / "mistakes.png")
    text = classification_text(report["classes"], report["accuracy"])
    replace_file(run / "classification_report.txt", text.encode())
    summary = {"accuracy": report["accuracy"], "classes": report["classes"], "confusion": report["confusion"]}
    replace_file(run / "classification_report.json", json.dumps(summary, indent=1).encode())
    return report


def judge_detector(run: Path, task: DetectorTask) -> dict[str, Any]:
    """Score the trained detector and the one it started from on the validation scenes, and draw both."""
    report: dict[str, Any] = {}
    curves, sizes = {}, {}
    for name, network in (("trained", task.network), ("start", task.witness)):
        scored = find_all(task, network, name)
        by_source: dict[str, list[ScoredPicture]] = {}
        for (source, _, _), one in zip(task.val, scored, strict=True):
            by_source.setdefault(source, []).append(one)
        report[name] = {key: average_precision(ones, ignore_below_px=UNBOXED_PX) for key, ones in by_source.items()}
        report[name]["all"] = average_precision(scored, ignore_below_px=UNBOXED_PX)
        curves[name], sizes[name] = precision_recall(scored, ignore_below_px=UNBOXED_PX), recall_of_sizes(scored)
        if name == "trained":
            plot_detector_mistakes([picture for _, picture, _ in task.val], scored, run / "mistakes.png")
    plots.plot_precision_recall(curves, run / "precision_recall.png")
    buckets = {
        bucket: {name + key: row[bucket][key] for name, row in sizes.items() for key in ("", "_support")}
        for bucket in sizes["trained"]
    }
    plots.plot_size_recall(buckets, run / "by_size.png", list(sizes))
    return {"average_precision": rounded(report), "by_size": rounded(buckets)}


def find_all(task: DetectorTask, network: YuNet, name: str) -> list[ScoredPicture]:
    """Find the faces of every validation picture with one network."""
    finder = FaceFinder(DetectorGraph(network), min_score=0.02, max_iou=0.45)
    scored = []
    for _, picture, boxes in track(task.val, f"scoring {name}", console=console, transient=True):
        found = finder.find(picture)
        scored.append(ScoredPicture(found.boxes, found.scores, boxes))
    return scored


def recall_of_sizes(scored: list[ScoredPicture]) -> dict[str, dict[str, float]]:
    """Give recall ("") and number of faces ("_support") at a score of 0.5 by the longer side of the face."""
    sizes, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for one in scored:
        sure = one.scores >= SHOWN_SCORE
        hit = np.zeros(len(one.truth), bool)
        matched = match(one.boxes[sure], one.scores[sure], one.truth)
        hit[matched[matched >= 0]] = True
        sizes.append((one.truth[:, 2:] - one.truth[:, :2]).max(axis=1, initial=0))
        hits.append(hit)
    size, found = np.concatenate(sizes), np.concatenate(hits)
    table = {}
    for low, high in SIZE_BUCKETS:
        mine = (size >= low) & (size < high)
        recall = float(found[mine].mean()) if mine.any() else 0.0
        table[bucket_name(low, high)] = {"": recall, "_support": float(mine.sum())}
    return table


def plot_detector_mistakes(pictures: list[Picture], scored: list[ScoredPicture], path: Path, most: int = 20) -> None:
    """Show the surest false faces and the largest missed ones, cut out with room around them."""
    false: list[tuple[float, NDArray[np.uint8]]] = []
    missed: list[tuple[float, NDArray[np.uint8]]] = []
    for picture, one in zip(pictures, scored, strict=True):
        sure = one.scores >= SHOWN_SCORE
        boxes, scores = one.boxes[sure], one.scores[sure]
        matched = match(boxes, scores, one.truth)
        for index in np.flatnonzero(matched < 0):
            false.append((float(scores[index]), crop(picture, square_around(boxes[index], 0.5), SHEET_SIDE_PX)))
        for face in np.delete(one.truth, matched[matched >= 0], axis=0):
            missed.append((float((face[2:] - face[:2]).max()), crop(picture, square_around(face, 0.5), SHEET_SIDE_PX)))
    false = sorted(false, key=lambda pair: -pair[0])[:most]
    missed = sorted(missed, key=lambda pair: -pair[0])[:most]
    titles = [f"false face {score:.2f}" for score, _ in false] + [f"missed, {size:.0f} px" for size, _ in missed]
    plots.plot_sheet([cut for _, cut in false + missed], titles, path)
