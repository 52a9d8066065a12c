"""A version like another, with one network more beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.models.manifest import MANIFEST_NAME, BlobName, GlanceFacts, Manifest, ModelVersion, QuickFacts
from trainer.files import replace_file
from trainer.release.card import model_card
from trainer.release.version import check_onnx, store_blob

COUNTED = ("skipped", "corrected", "doubted")


@dataclass(frozen=True, slots=True)
class Beside:
    """What comes to a version.

    Attributes:
        name: Of the blob, and of its facts in the manifest.
        onnx: The graph.
        facts: How it is used, with its probe.
        report: Of its run; what it skipped is only counted.
    """

    name: BlobName
    onnx: bytes
    facts: GlanceFacts | QuickFacts
    report: dict[str, Any]


def release_beside(before: ModelVersion, beside: Beside, into: Path, notes: dict[str, Any]) -> Manifest:
    """Write the version that comes of it; a version that was in the folder is replaced last, by its manifest.

    Args:
        before: The version whose own networks, thresholds and figures stay.
        beside: What comes to it.
        into: Folder of the new version.
        notes: ``version``, ``command`` and further ``metrics``.

    Raises:
        ProbeError: The graph does not answer its probe; the folder's manifest is unchanged.
        BlobMismatchError: A blob changed since the version was verified.
    """
    check_onnx(beside.onnx, beside.facts.probe)
    data = {name: before.read(name) for name in before.manifest.blobs}
    into.mkdir(parents=True, exist_ok=True)
    blobs = {name: store_blob(into / before.manifest.blobs[name].file, content) for name, content in data.items()}
    blobs[beside.name] = store_blob(into / f"{beside.name}.onnx", beside.onnx)
    report = {key: len(value) if key in COUNTED else value for key, value in beside.report.items()}
    changes = {
        "version": notes["version"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": notes["command"],
        "blobs": blobs,
        beside.name: beside.facts,
        "metrics": {**before.manifest.metrics, beside.name: report, **notes.get("metrics", {})},
    }
    manifest = before.manifest.model_copy(update=changes)
    replace_file(into / MANIFEST_NAME, (manifest.model_dump_json(indent=1) + "\n").encode())
    replace_file(into / "README.md", model_card(manifest).encode())
    return manifest
