"""One whole run of each kind: data, network, training, scoring, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from common.errors import TrainingError
from common.models.focus import FocusHead
from common.models.manifest import Kind, bundled
from common.models.networks import build_classifier, build_detector
from common.models.torch_load import fill
from common.models.yunet import YuNet
from trainer.data.pictures import Skips, read_scenes
from trainer.faces.corrections import correct, read_corrections
from trainer.faces.cutcache import cut_faces
from trainer.files import replace_file
from trainer.judging import judge_classifier, judge_detector
from trainer.learning.checkpoint import NAME as CHECKPOINT
from trainer.learning.classifier import ClassifierTask, normalised, predict
from trainer.learning.detector import DetectorTask, as_planes
from trainer.learning.fit import History, Task, fit
from trainer.learning.focus import FocusTask
from trainer.learning.patience import NAME as BEST
from trainer.learning.patience import Patience
from trainer.learning.reference import check_reference, reference_beside
from trainer.learning.stem import StemLesson, load_teacher, take_over
from trainer.learning.weights import start_backbone
from trainer.release.finished_run import network_of
from trainer.run_page import write_page
from trainer.scores import plots
from trainer.settings import ClassifierSettings, DetectorSettings, FocusSettings

console = Console(stderr=True)
StopQuestion = Callable[[], bool]
AnySettings = ClassifierSettings | DetectorSettings | FocusSettings
SETTINGS, START, HISTORY = "settings.json", "start.txt", "history.json"
SHAPE = ("architecture", "dense", "side", "margin", "frozen_stem")  # what a resumed run must share with its beginning


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device.

    Raises:
        TrainingError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        raise TrainingError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def start(settings: AnySettings) -> torch.device:
    """Set up threads, seed and run folder; the settings are kept in the folder.

    Raises:
        TrainingError: The folder holds a run that these settings may not touch; nothing in it is changed.
    """
    schedule = settings.schedule
    if schedule.resume:
        check_resume(settings)
    elif (settings.run / CHECKPOINT).exists() and not schedule.overwrite:
        raise TrainingError(
            f"{settings.run} holds a run already; --resume goes on with it, --overwrite starts over in its place"
        )
    device = pick_device(schedule.device)
    if schedule.threads:
        torch.set_num_threads(schedule.threads)
    torch.manual_seed(schedule.seed)
    settings.run.mkdir(parents=True, exist_ok=True)
    if schedule.overwrite and not schedule.resume:
        for name in ("faces.npz", CHECKPOINT, BEST, HISTORY):
            (settings.run / name).unlink(missing_ok=True)
    replace_file(settings.run / SETTINGS, settings.model_dump_json(indent=1).encode())
    return device


def check_resume(settings: AnySettings) -> None:
    """Refuse to go on with a run of another kind or shape of network.

    Raises:
        TrainingError: Says what differs; the folder is unchanged.
    """
    path = settings.run / SETTINGS
    if not path.is_file():
        raise TrainingError(f"{settings.run}: nothing to resume from")
    try:
        stored = json.loads(path.read_bytes())
        before = {key: stored.get(key) for key in SHAPE}
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    now = {key: getattr(settings, key, None) for key in SHAPE}
    if not isinstance(settings, ClassifierSettings):
        del now["side"]  # any canvas will do
    differing = [f"{key} {before[key]} there, {value} now" for key, value in now.items() if before[key] != value]
    if differing:
        raise TrainingError(f"cannot resume {settings.run} as another network: {'; '.join(differing)}")


def run_classifier(settings: ClassifierSettings, should_stop: StopQuestion = lambda: False) -> dict[str, Any]:
    """Train a classifier and score it; returns the report, which is also in the run folder.

    Raises:
        TrainingError: The data or the run folder cannot be used; finished checkpoints stay.
    """
    device, skips = start(settings), Skips()
    network = build_classifier(settings.architecture, settings.dense, settings.dropout)
    begun = _begin(network, settings)
    faces = cut_faces(settings, skips)
    changes: list[str] = []
    if settings.corrections:
        faces, changes = correct(faces, read_corrections(settings.corrections))
        console.print(f"{len(changes)} labels corrected by {settings.corrections}")
    task = ClassifierTask(network, faces, settings, device)
    history = fit(_lesson(task, normalised), settings.schedule, settings.run, should_stop)
    if should_stop():
        return stopped(settings.run, len(history))
    report: dict[str, Any] = {"recipe": settings.recipe, "architecture": settings.architecture, "start": begun,
                              **_epochs(task, settings, history), "skipped": skips.listed,
                              "corrected": changes, "doubted": task.doubted}  # fmt: skip
    if len(task.val_faces.labels):
        report |= judge_classifier(settings.run, task, predict(task.network, task.val_crops, device))
    return keep_report(settings.run, report, history)


def _begin(network: torch.nn.Module, settings: ClassifierSettings) -> str:
    """Fill the classifier with what it starts from and say so in words; a resumed run is filled by its checkpoint."""
    if settings.schedule.resume:
        report = settings.run / START
        return report.read_text("utf-8") if report.is_file() else "resumed"
    words = start_backbone(network, settings)  # type: ignore[arg-type]
    if settings.teacher and settings.weights in (None, "none") and not settings.start:
        count = take_over(network, load_teacher(settings.teacher, "classifier"))
        words = f"{count} tensors of {settings.teacher.name}, the rest untrained"
    if settings.start:
        fill(network, network_of(settings.start), settings.start / CHECKPOINT)
        words = f"the whole classifier of run {settings.start.name}"
    console.print(f"starting from {words}")
    replace_file(settings.run / START, words.encode())
    return words


def run_detector(settings: DetectorSettings, should_stop: StopQuestion = lambda: False) -> dict[str, Any]:
    """Train a detector and score it; returns the report, which is also in the run folder.

    Raises:
        TrainingError: The data or the run folder cannot be used; finished checkpoints stay.
    """
    if settings.teacher_share and settings.teacher is None:
        raise TrainingError("--teacher-share needs --teacher, a version whose answers are to be followed")
    device, skips = start(settings), Skips()
    scenes = [scene for index in settings.scenes for scene in read_scenes(index)]
    if not scenes:
        raise TrainingError("no data: give --scenes or --pack")
    network = build_detector(settings.architecture)
    if settings.weights:
        load_detector(network, settings.weights)
        _compare(network, settings.weights, settings.reference_onnx)
    task = DetectorTask(network, scenes, settings, device, skips)
    if settings.teacher and not settings.weights:
        console.print(f"{take_over(network, task.witness)} tensors taken over from {settings.teacher.name}")
    history = fit(_lesson(task, as_planes), settings.schedule, settings.run, should_stop)
    if should_stop():
        return stopped(settings.run, len(history))
    report: dict[str, Any] = {**_epochs(task, settings, history), "skipped": skips.listed}
    if task.val:
        report |= judge_detector(settings.run, task)
    return keep_report(settings.run, report, history)


def run_focus(settings: FocusSettings, should_stop: StopQuestion = lambda: False) -> dict[str, Any]:
    """Train the focus head of a detector and score it; returns the report, which is also in the run folder.

    Raises:
        TrainingError: The data, the detector or the run folder cannot be used; finished checkpoints stay.
    """
    device, skips = start(settings), Skips()
    scenes = [scene for index in settings.scenes for scene in read_scenes(index)]
    if not scenes:
        raise TrainingError("no data: give --scenes or --pack")
    glancer = load_teacher(settings.glancer or settings.detector or bundled("detector"), "detector")
    task = FocusTask(FocusHead(glancer.neck.width), glancer, scenes, settings, skips, device)
    history = fit(task, settings.schedule, settings.run, should_stop)
    if should_stop():
        return stopped(settings.run, len(history))
    report = {**_epochs(task, settings, history), "skipped": skips.listed, **task.evaluate()}
    return keep_report(settings.run, report, history)


def _lesson(task: ClassifierTask | DetectorTask, prepare: Callable[[Tensor], Tensor]) -> Task:
    """Give the task itself, or the lesson of its stem.

    Raises:
        TrainingError: A lesson of the stem without a teacher.
    """
    settings = task.settings
    if settings.lesson == "task":
        return task
    if settings.teacher is None:
        raise TrainingError("--lesson stem needs --teacher, a version whose first layers are to be followed")
    kind: Kind = "detector" if isinstance(task, DetectorTask) else "classifier"
    return StemLesson(task, load_teacher(settings.teacher, kind), prepare)


def _compare(network: YuNet, weights: Path, given: Path | None) -> None:
    reference = given or reference_beside(weights)
    if reference is None:
        console.print(f"no ONNX file beside {weights.name}; its answers were not compared (--reference-onnx FILE)")
        return
    difference = check_reference(network, reference)
    console.print(f"computes what {reference.name} computes (answers differ by up to {difference:.2g})")


def load_detector(network: YuNet, path: Path) -> None:
    """Fill the detector from a safetensors file.

    Raises:
        TrainingError: The file does not hold exactly this network.
    """
    try:
        fill(network, load_file(path), path)
    except Exception as error:
        raise TrainingError(f"{path}: {error}") from error


def _epochs(task: Task, settings: AnySettings, history: History) -> dict[str, int]:
    about = {"epochs": len(history), "seed": settings.schedule.seed}
    if settings.schedule.patience:
        patience = Patience(settings.run, settings.schedule.patience, *task.watched)
        about["best_epoch"] = patience.best_epoch(history)
    return about


def stopped(run: Path, epochs: int) -> dict[str, Any]:
    """Say how a run that was stopped goes on; it is not scored."""
    console.print(f"stopped; {epochs} finished epochs are kept in {run}, go on with --resume")
    return {"stopped_after_epochs": epochs}


def keep_report(run: Path, report: dict[str, Any], history: History) -> dict[str, Any]:
    """Write the report, the curves and the page into the run folder and say what was skipped."""
    replace_file(run / "report.json", json.dumps(report, indent=1).encode())
    if history:
        plots.plot_history(history, run / "curves.png")
    write_page(run, report, history)
    if report["skipped"]:
        console.print(f"{len(report['skipped'])} pictures or boxes were skipped; the first: {report['skipped'][0]}")
    console.print(f"everything about this run: {run / 'index.html'}")
    return report
