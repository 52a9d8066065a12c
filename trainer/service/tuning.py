"""Fine-tune a classifier version on operators' crops, with the base set replayed beside them."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common.models.manifest import ModelVersion
from common.models.networks import FaceClassifier
from common.models.torch_load import load_graph
from trainer.faces.cuts import FaceSet
from trainer.learning.checkpoint import NAME as CHECKPOINT
from trainer.learning.classifier import ClassifierTask, balance, predict
from trainer.learning.fit import History, fit
from trainer.scores.report import judged_faces
from trainer.scores.scoring import best_temperature
from trainer.service.settings import TrainerSettings
from trainer.settings import ClassifierSettings, Schedule

ENOUGH_ERRORS = 10
WIDE, NARROW = 2.0, 1.25
"""How far the temperature may move from that of the base, as a factor; narrow where the calibration faces hold few
errors: without any, the sharpest one always looks best."""

SHOWN = 640
"""Faces on which the ranges of a candidate are measured."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a run learns from.

    Attributes:
        base: Replayed faces; may be empty.
        new: Faces that operators labelled.
        calibration: Faces that are never learnt from; the temperature is chosen on them.
    """

    base: FaceSet
    new: FaceSet
    calibration: FaceSet


@dataclass(frozen=True, slots=True)
class Tuned:
    """A fine-tuned network.

    Attributes:
        network: On the CPU.
        temperature: Calibrates it.
        history: One record an epoch.
        shown: uint8, (N, S, S, 3), BGR: some of the faces that it learnt from, as it sees them at work.
    """

    network: FaceClassifier
    temperature: float
    history: History
    shown: NDArray[np.uint8]


class Pace:
    """Counts steps and says how much is done and how long the rest takes; asks whether to stop after each.

    Args:
        total: Steps of the whole run.
        done: Steps that an earlier start has done.
        should_stop: Whether the end was asked for.
        tell: Told share done (0..1) and seconds left.
    """

    def __init__(
        self, total: int, done: int, should_stop: Callable[[], bool], tell: Callable[[float, float], None]
    ) -> None:
        self._total, self._done, self._first = total, done, done
        self._should_stop, self._tell = should_stop, tell
        self._started = time.monotonic()

    def __call__(self) -> bool:
        """Count a step; True if it is time to stop."""
        self._done += 1
        each_s = (time.monotonic() - self._started) / (self._done - self._first)
        self._tell(self._done / self._total, each_s * (self._total - self._done))
        return self._should_stop()


def tune(
    version: ModelVersion, lessons: Lessons, settings: TrainerSettings, run: Path, pace: Callable[[int, int], Pace]
) -> Tuned | None:
    """Fine-tune, going on where an earlier start of the same run left off.

    Args:
        version: Where to start from.
        lessons: What to learn from.
        settings: How long, how fast, how balanced.
        run: Run folder; a checkpoint is replaced after every epoch.
        pace: Made from the steps of the whole run and those already done; asked after every step.

    Returns:
        The network; None if it was told to stop, the finished epochs are kept.

    Raises:
        TrainingError: One class only, no face at all, a loss that is not finite, a full disk; what serves stays.
    """
    graph = load_graph(version)
    network = graph.network
    assert isinstance(network, FaceClassifier)  # noqa: S101 - the kind was checked when the version was loaded
    torch.set_num_threads(settings.threads)
    plan = _plan(version, settings, run)
    torch.manual_seed(settings.seed)
    task = ClassifierTask(network, _joined(lessons), plan, torch.device("cpu"))
    task.weights = mixture(lessons, settings.new_share)
    steps = task.steps()
    epochs_done = _epochs_done(run) if plan.schedule.resume else 0
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bar is for people at a terminal
        ticker = pace(steps * settings.epochs, steps * epochs_done)
        history = fit(task, plan.schedule, run, ticker)
    if len(history) < settings.epochs:
        return None
    temperature = _temperature(task, version.manifest.temperature)
    return Tuned(network.eval(), temperature, history, _some_crops(task))


def _some_crops(task: ClassifierTask) -> NDArray[np.uint8]:
    count = len(task.train_faces.labels)
    chosen = np.linspace(0, count - 1, min(count, SHOWN)).astype(np.intp)
    return task.plain_crops(task.train_faces.select(chosen))


def _temperature(task: ClassifierTask, base: float) -> float:
    """Choose the temperature on the calibration faces; near the base's, as few errors say little about it."""
    if not len(task.val_faces.labels):
        return base
    judged, truth = judged_faces(task.val_faces), task.val_faces.labels
    plain = predict(task.network, task.val_crops, task.device)
    errors = int((plain[judged].argmax(axis=1) != truth[judged]).sum())
    reach = WIDE if errors >= ENOUGH_ERRORS else NARROW
    return float(np.clip(best_temperature(plain[judged], truth[judged]), base / reach, base * reach))


def _plan(version: ModelVersion, settings: TrainerSettings, run: Path) -> ClassifierSettings:
    manifest = version.manifest
    schedule = Schedule(
        epochs=settings.epochs, batch=settings.batch, rate=settings.rate, seed=settings.seed,
        threads=settings.threads, device="cpu", resume=(run / CHECKPOINT).is_file(),
    )  # fmt: skip
    return ClassifierSettings.model_validate(
        {
            "run": run, "architecture": manifest.architecture, "dense": int(manifest.options.get("dense", 128)),
            "dropout": float(manifest.options.get("dropout", 0.5)), "side": version.classifier_input.side,
            "margin": version.classifier_input.margin, "samples": settings.samples_per_epoch, "schedule": schedule,
        }
    )  # fmt: skip


def _joined(lessons: Lessons) -> FaceSet:
    parts = (lessons.base, lessons.new, lessons.calibration)
    whole = FaceSet(*(np.concatenate([getattr(part, name) for part in parts]) for name in FaceSet.__slots__))
    learnt = np.zeros(len(whole.labels), np.bool_)
    learnt[: len(lessons.base.labels) + len(lessons.new.labels)] = True
    return replace(whole, train=learnt)


def mixture(lessons: Lessons, new_share: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give each face its chance: base and new by their shares, each balanced by label and source."""
    parts = [part for part in (lessons.base, lessons.new) if len(part.labels)]
    shares = [1 - new_share, new_share] if len(parts) == 2 else [1.0]
    drawn = [share * balance(p.labels, p.sources, p.sizes) for share, p in zip(shares, parts, strict=True)]
    weights = np.concatenate(drawn)
    return np.asarray(weights / weights.sum(), np.float64)


def _epochs_done(run: Path) -> int:
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run / CHECKPOINT, "pt") as stored:
            return len(json.loads(stored.metadata()["history"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        return 0
