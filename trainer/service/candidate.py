"""The candidate as a version folder: blobs once, the manifest again when the gate has spoken."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.models.manifest import MANIFEST_NAME, Manifest, ModelVersion, load_version
from trainer.files import replace_file
from trainer.release.card import model_card
from trainer.release.quantise import quantise
from trainer.release.shown import BATCH, in_batches
from trainer.release.version import ReleaseNotes, release_classifier
from trainer.service.tuning import Tuned

COMMAND, PLAIN = "maskwatch trainer", ".plain"


def release_candidate(tuned: Tuned, base: ModelVersion, name: str, learnt: int, into: Path) -> ModelVersion:
    """Make a version of a tuned network; its manifest is written last, so that a folder with one is complete.

    Its file holds ranges, so that processors may compute it in 8 bits like the version it was tuned from; not if it
    learnt from next to nothing.

    Args:
        tuned: The network.
        base: The version it was tuned from.
        name: The new version's name.
        learnt: Operators' crops that it learnt from.
        into: Folder of the version.

    Raises:
        ProbeError: The export does not answer as the network does; there is no manifest.
        TrainingError: The folder cannot be written.
    """
    manifest = base.manifest
    own = f"{learnt} crops labelled by operators of this site, on top of {manifest.name} version {manifest.version}"
    notes = ReleaseNotes(
        version=name, created=datetime.now(UTC).isoformat(timespec="seconds"), command=COMMAND,
        training_data=[*_without_earlier(manifest.training_data), own], weaknesses=list(manifest.weaknesses),
        thresholds=dict(manifest.thresholds),
    )  # fmt: skip
    ranged = len(tuned.shown) >= BATCH
    plain = into.with_name(f"{into.name}{PLAIN}") if ranged else into
    release_classifier(
        tuned.network, plain, notes, architecture=manifest.architecture, side=base.classifier_input.side,
        margin=base.classifier_input.margin, temperature=tuned.temperature,
        dense=int(manifest.options.get("dense", 128)), dropout=float(manifest.options.get("dropout", 0.5)),
    )  # fmt: skip
    if ranged:
        made = load_version(plain, "classifier")
        quantise(made, {"onnx": in_batches(tuned.shown)}, into, {"version": name, "command": COMMAND})
        shutil.rmtree(plain)
    return load_version(into, "classifier")


def stamp(folder: Path, metrics: dict[str, Any]) -> ModelVersion:
    """Write the gate's figures into a candidate's manifest and model card; the blobs stay as they are."""
    manifest = load_version(folder, "classifier").manifest
    stamped = Manifest.model_validate({**manifest.model_dump(), "metrics": metrics})
    replace_file(folder / "README.md", model_card(stamped).encode())
    replace_file(folder / MANIFEST_NAME, (stamped.model_dump_json(indent=1) + "\n").encode())
    return load_version(folder, "classifier")


def _without_earlier(lines: list[str]) -> list[str]:
    """Leave out what an earlier candidate said of its own crops: they are among those of this one."""
    return [line for line in lines if "crops labelled by operators of this site" not in line]
