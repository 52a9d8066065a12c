"""From a finished run to a released version."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from common.errors import ManifestError, TrainingError
from common.models.manifest import Kind, Manifest, load_version
from common.models.networks import build_classifier, build_detector
from common.models.torch_load import fill
from trainer.learning.checkpoint import NAME as CHECKPOINT
from trainer.release.version import ReleaseNotes, release_classifier, release_detector
from trainer.settings import ClassifierSettings, DetectorSettings


def network_of(run: Path) -> dict[str, torch.Tensor]:
    """Give the network's tensors from a run's checkpoint.

    Raises:
        TrainingError: There is no checkpoint that can be read.
    """
    try:
        stored = load_file(run / CHECKPOINT)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{run}: no finished epoch: {error}") from error
    return {name[8:]: tensor for name, tensor in stored.items() if name.startswith("network.")}


def taught_by(teacher: Path | None, kind: Kind) -> list[str]:
    """Say in words from which version's answers a network learnt, for its model card."""
    if teacher is None:
        return []
    try:
        manifest = load_version(teacher, kind).manifest
    except (ManifestError, OSError):  # it may have gone since
        return [f"learnt from the answers of another version, {teacher.name}"]
    return [f"learnt from the answers of {manifest.name} {manifest.version} beside the labels"]


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
    except (OSError, ValidationError, ValueError, TrainingError) as error:
        raise TrainingError(f"{run}: no finished run of a {kind}: {error}") from error
    for listed in ("skipped", "corrected", "doubted"):
        if listed in report:
            report[listed] = len(report[listed])
    release_notes = ReleaseNotes(
        version=notes["version"], created=datetime.now(UTC).isoformat(timespec="seconds"), command=notes["command"],
        metrics={**report, **notes.get("metrics", {})},
        training_data=[*notes["training_data"], *taught_by(settings.teacher, kind)],
        weaknesses=notes["weaknesses"], thresholds=notes["thresholds"],
    )  # fmt: skip
    if isinstance(settings, DetectorSettings):
        detector = build_detector(settings.architecture)
        fill(detector, tensors, run / CHECKPOINT)
        return release_detector(detector.eval(), into, release_notes, settings.architecture)
    classifier = build_classifier(settings.architecture, settings.dense, settings.dropout)
    fill(classifier, tensors, run / CHECKPOINT)
    return release_classifier(
        classifier.eval(), into, release_notes, architecture=settings.architecture, side=settings.side,
        margin=settings.margin, temperature=float(report.get("temperature", 1.0)),
        dense=settings.dense, dropout=settings.dropout,
    )  # fmt: skip
