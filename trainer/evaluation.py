"""Score two versions together on validation data: which faces are found, which verdicts they get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import TrainingError
from common.geometry import FloatArray
from common.models.manifest import load_version
from common.models.torch_load import load_graph
from trainer.data.pictures import Portrait, Scene, Skips, load_picture, read_portraits, read_scenes
from trainer.faces.augment import CropPlan
from trainer.faces.cuts import PATCH_MARGIN, FaceSet, cut_all
from trainer.faces.finder import FaceFinder
from trainer.learning.classifier import crops_of
from trainer.learning.detector import UNBOXED_PX
from trainer.scores.report import classifier_report
from trainer.scores.scoring import ScoredPicture, average_precision, match, rounded


def score_versions(
    detector: Path, classifier: Path, scenes: list[Path], crops: list[Path], progress: Callable[[str], None]
) -> dict[str, Any]:
    """Score a detector and a classifier on the validation part of the data.

    Args:
        detector: Folder of the detector's version.
        classifier: Folder of the classifier's version.
        scenes: faces.jsonl files.
        crops: crops.jsonl files.
        progress: Told now and then what is being done.

    Returns:
        ``detection`` (average precision and recall by source) and ``verdicts`` (``classifier_report``), for JSON.

    Raises:
        ModelError: A version cannot be used.
        TrainingError: The data cannot be used.
    """
    found_by, judged_by = load_version(detector, "detector"), load_version(classifier, "classifier")
    graph, skips = load_graph(found_by), Skips()
    val_scenes = [scene for index in scenes for scene in read_scenes(index) if scene.split == "val"]
    portraits = [one for index in crops for one in read_portraits(index) if one.split == "val"]
    if not val_scenes and not portraits:
        raise TrainingError("no validation picture: give --scenes, --crops or both")
    threshold = found_by.manifest.thresholds.get("score", 0.5)
    detection = score_detection(FaceFinder(graph, min_score=0.02, max_iou=0.45), val_scenes, threshold, skips, progress)
    items: list[Scene | Portrait] = [*val_scenes, *portraits]
    finder = FaceFinder(graph, min_score=threshold)
    faces = cut_all(items, finder, skips, lambda done: progress(f"cutting faces: picture {done} of {len(items)}"))
    about = judged_by.classifier_input
    probabilities = answers(load_graph(judged_by), faces, CropPlan(about.side, about.margin, PATCH_MARGIN))
    return {
        "detector": found_by.manifest.identity,
        "classifier": judged_by.manifest.identity,
        "skipped": skips.listed,
        "detection": detection,
        "verdicts": classifier_report(faces, probabilities),
    }


def answers(graph: torch.nn.Module, faces: FaceSet, plan: CropPlan) -> FloatArray:
    """Classify faces with a serving graph: float32, (M, 3)."""
    crops = crops_of(faces, plan)
    given = [np.zeros((0, 3), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(crops), 64):
            given.append(graph(torch.from_numpy(crops[start : start + 64])).numpy())
    return np.concatenate(given)


def score_detection(
    finder: FaceFinder, scenes: list[Scene], threshold: float, skips: Skips, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Give average precision (IoU 0.5, unmatched below 40 px not counted) and recall at the threshold, by source."""
    scored: dict[str, list[ScoredPicture]] = {}
    for number, scene in enumerate(scenes, 1):
        picture = load_picture(scene.path, skips)
        if picture is not None:
            found = finder.find(picture)
            scored.setdefault(scene.source, []).append(ScoredPicture(found.boxes, found.scores, scene.boxes))
        progress(f"finding faces: picture {number} of {len(scenes)}")
    everything = [one for pictures in scored.values() for one in pictures]
    rows = {**scored, "all": everything} if everything else {}
    table: dict[str, Any] = {source: _detection_row(pictures, threshold) for source, pictures in rows.items()}
    finished: dict[str, Any] = rounded(table)
    return finished


def _detection_row(pictures: list[ScoredPicture], threshold: float) -> dict[str, Any]:
    faces = large = hits = large_hits = 0
    for picture in pictures:
        kept = picture.scores >= threshold
        matched = match(picture.boxes[kept], picture.scores[kept], picture.truth)
        big = (picture.truth[:, 2:] - picture.truth[:, :2]).max(axis=1, initial=0) >= 24
        hit = np.zeros(len(picture.truth), bool)
        hit[matched[matched >= 0]] = True
        faces, hits = faces + len(hit), hits + int(hit.sum())
        large, large_hits = large + int(big.sum()), large_hits + int((hit & big).sum())
    return {
        "pictures": len(pictures),
        "faces": faces,
        "average_precision": average_precision(pictures, ignore_below_px=UNBOXED_PX),
        "recall": hits / max(1, faces),
        "recall_of_24_px": large_hits / max(1, large),
    }


def detection_table(detection: dict[str, Any]) -> str:
    """Write the detection part as a Markdown table."""
    lines = ["| source | pictures | faces | AP | recall | recall, faces ≥ 24 px |", "|---|---|---|---|---|---|"]
    for source, row in detection.items():
        figures = f"{row['average_precision']:.3f} | {row['recall']:.1%} | {row['recall_of_24_px']:.1%}"
        lines.append(f"| {source} | {row['pictures']} | {row['faces']} | {figures} |")
    return "\n".join(lines)
