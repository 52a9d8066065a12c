"""One whole run of each kind: data, network, training, scoring, pictures; and a release made of a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file

from common.errors import TrainingError
from common.models.manifest import Kind, Manifest, bundled, load_version
from common.models.networks import DetectorGraph, YuNet, build_classifier, build_detector
from common.models.torch_load import fill, load_graph
from trainer import plots
from trainer.checkpoint import NAME as CHECKPOINT
from trainer.classifier import ClassifierTask, load_backbone, predict
from trainer.data import Portrait, Scene, Skips, read_portraits, read_scenes
from trainer.detector import UNBOXED_PX, DetectorTask
from trainer.faces import FaceSet, cut_all
from trainer.finder import FaceFinder
from trainer.fit import fit
from trainer.release import ReleaseNotes, release_classifier, release_detector, replace_file
from trainer.report import classifier_report, rounded
from trainer.scoring import ScoredPicture, average_precision, best_temperature, confusion, precision_recall
from trainer.settings import ClassifierSettings, DetectorSettings

console = Console(stderr=True)
StopQuestion = Callable[[], bool]


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def start(settings: ClassifierSettings | DetectorSettings) -> torch.device:
    """Set up threads, seed and run folder; the settings are kept in the folder."""
    if settings.schedule.threads:
        torch.set_num_threads(settings.schedule.threads)
    torch.manual_seed(settings.schedule.seed)
    settings.run.mkdir(parents=True, exist_ok=True)
    replace_file(settings.run / "settings.json", settings.model_dump_json(indent=1).encode())
    return pick_device(settings.schedule.device)


def cut_faces(settings: ClassifierSettings, skips: Skips) -> FaceSet:
    """Cut the faces of all data with the detector, or take them from the cache if one is there."""
    cache = settings.cache or settings.run / "faces.npz"
    if cache.is_file():
        return FaceSet.load(cache)
    items: list[Scene | Portrait] = [scene for index in settings.scenes for scene in read_scenes(index)]
    items += [portrait for index in settings.crops for portrait in read_portraits(index)]
    if not items:
        raise TrainingError("no data: give --scenes, --crops or both")
    finder = FaceFinder(load_graph(load_version(settings.detector or bundled("detector"), "detector")))
    with console.status("cutting faces") as status:
        faces = cut_all(
            items, finder, skips, lambda done: status.update(f"cutting faces: picture {done} of {len(items)}")
        )
    cache.parent.mkdir(parents=True, exist_ok=True)
    faces.save(cache)
    return faces


def run_classifier(settings: ClassifierSettings, should_stop: StopQuestion = lambda: False) -> dict[str, Any]:
    """Train a classifier and score it; returns the report, which is also in the run folder.

    Raises:
        TrainingError: The data or the run folder cannot be used; finished checkpoints stay.
    """
    device, skips = start(settings), Skips()
    faces = cut_faces(settings, skips)
    network = build_classifier(settings.architecture, settings.dense, settings.dropout)
    if settings.weights:
        load_backbone(network, settings.weights)
    if settings.start:
        fill(network, network_of(settings.start), settings.start / CHECKPOINT)
    task = ClassifierTask(network, faces, settings, device)
    history = fit(task, settings.schedule, settings.run, should_stop)
    if should_stop():
        return stopped(settings.run, len(history))
    report: dict[str, Any] = {"skipped": skips.listed}
    if len(task.val_faces.labels):
        plain = predict(task.network, task.val_crops, device)
        report |= judge_classifier(settings, task, plain)
    if history:
        plots.plot_history(history, settings.run / "curves.png")
    return keep_report(settings.run, report)


def judge_classifier(settings: ClassifierSettings, task: ClassifierTask, plain: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Calibrate on the validation faces, score, and draw the pictures."""
    truth, large = task.val_faces.labels, task.val_faces.sizes >= 24
    temperature = best_temperature(plain[large], truth[large]) if large.any() else 1.0
    scaled = plain.astype(np.float64) ** (1 / temperature)
    calibrated = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    table = confusion(truth[large], calibrated[large].argmax(axis=1))
    plots.plot_confusion(table, settings.run / "confusion.png")
    plots.plot_reliability(calibrated[large], truth[large], settings.run / "reliability.png")
    plots.plot_mistakes(task.val_crops[large], calibrated[large], truth[large], settings.run / "mistakes.png")
    return {"temperature": temperature, **classifier_report(task.val_faces, calibrated)}


def run_detector(settings: DetectorSettings, should_stop: StopQuestion = lambda: False) -> dict[str, Any]:
    """Train a detector and score it; returns the report, which is also in the run folder.

    Raises:
        TrainingError: The data or the run folder cannot be used; finished checkpoints stay.
    """
    device, skips = start(settings), Skips()
    scenes = [scene for index in settings.scenes for scene in read_scenes(index)]
    if not scenes:
        raise TrainingError("no data: give --scenes")
    network = build_detector()
    if settings.weights:
        load_detector(network, settings.weights)
    task = DetectorTask(network, scenes, settings, device, skips)
    history = fit(task, settings.schedule, settings.run, should_stop)
    if should_stop():
        return stopped(settings.run, len(history))
    if history:
        plots.plot_history(history, settings.run / "curves.png")
    return keep_report(settings.run, {"skipped": skips.listed, **judge_detector(task, settings.run)})


def load_detector(network: YuNet, path: Path) -> None:
    """Fill the detector from a safetensors file.

    Raises:
        TrainingError: The file does not hold exactly this network.
    """
    try:
        fill(network, load_file(path), path)
    except Exception as error:
        raise TrainingError(f"{path}: {error}") from error


def judge_detector(task: DetectorTask, run: Path) -> dict[str, Any]:
    """Score the trained detector and the one it started from on the validation scenes, and draw both."""
    report: dict[str, Any] = {}
    curves = {}
    for name, network in (("trained", task.network), ("start", task.witness)):
        finder = FaceFinder(DetectorGraph(network), min_score=0.02, max_iou=0.45)
        scored: dict[str, list[ScoredPicture]] = {}
        for source, picture, boxes in track(task.val, f"scoring {name}", console=console, transient=True):
            found = finder.find(picture)
            scored.setdefault(source, []).append(ScoredPicture(found.boxes, found.scores, boxes))
        everything = [one for pictures in scored.values() for one in pictures]
        report[name] = {source: average_precision(ones, ignore_below_px=UNBOXED_PX) for source, ones in scored.items()}
        report[name]["all"] = average_precision(everything, ignore_below_px=UNBOXED_PX)
        curves[name] = precision_recall(everything, ignore_below_px=UNBOXED_PX)
    plots.plot_precision_recall(curves, run / "precision_recall.png")
    return {"average_precision": rounded(report)}


def network_of(run: Path) -> dict[str, torch.Tensor]:
    """Give the network's tensors from a run's checkpoint."""
    stored = load_file(run / CHECKPOINT)
    return {name[8:]: tensor for name, tensor in stored.items() if name.startswith("network.")}


def stopped(run: Path, epochs: int) -> dict[str, Any]:
    """Say how a run that was stopped goes on; it is not scored."""
    console.print(f"stopped; {epochs} finished epochs are kept in {run}, go on with --resume")
    return {"stopped_after_epochs": epochs}


def keep_report(run: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write the report into the run folder and say what was skipped."""
    replace_file(run / "report.json", json.dumps(report, indent=1).encode())
    if report["skipped"]:
        console.print(f"{len(report['skipped'])} pictures were skipped; the first: {report['skipped'][0]}")
    return report


def release_run(run: Path, kind: Kind, into: Path, notes: dict[str, Any]) -> Manifest:
    """Make a version of a finished run.

    Args:
        run: Run folder of that kind.
        kind: detector or classifier.
        into: Folder of the version.
        notes: ``version``, ``command``, ``training_data``, ``weaknesses``, ``thresholds``, further ``metrics``.

    Raises:
        TrainingError: The run folder holds no finished epoch or other settings.
        ProbeError: The export does not answer as the network does; what was released before stays.
    """
    settings_type = ClassifierSettings if kind == "classifier" else DetectorSettings
    try:
        settings = settings_type.model_validate_json((run / "settings.json").read_bytes())
        report = json.loads((run / "report.json").read_bytes())
        tensors = network_of(run)
    except (OSError, ValidationError, ValueError) as error:
        raise TrainingError(f"{run}: no finished run of a {kind}: {error}") from error
    report.pop("skipped", None)
    release_notes = ReleaseNotes(
        version=notes["version"], created=datetime.now(UTC).isoformat(timespec="seconds"), command=notes["command"],
        metrics={**report, **notes.get("metrics", {})}, training_data=notes["training_data"],
        weaknesses=notes["weaknesses"], thresholds=notes["thresholds"],
    )  # fmt: skip
    if isinstance(settings, DetectorSettings):
        detector = build_detector()
        fill(detector, tensors, run / CHECKPOINT)
        return release_detector(detector.eval(), into, release_notes)
    classifier = build_classifier(settings.architecture, settings.dense, settings.dropout)
    fill(classifier, tensors, run / CHECKPOINT)
    return release_classifier(
        classifier.eval(), into, release_notes, architecture=settings.architecture, side=settings.side,
        margin=settings.margin, temperature=float(report.get("temperature", 1.0)),
        dense=settings.dense, dropout=settings.dropout,
    )  # fmt: skip
