"""From a version to the same one with ranges, so that processors may compute it in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.models.manifest import MANIFEST_NAME, BlobName, Manifest, ModelVersion
from trainer.files import replace_file
from trainer.release.card import model_card
from trainer.release.ranges import Pictures, measure_ranges, widest, with_ranges
from trainer.release.version import check_onnx, store_blob

Shown = Mapping[BlobName, Sequence[Pictures]]


def quantise(before: ModelVersion, shown: Shown, into: Path, notes: dict[str, Any]) -> Manifest:
    """Write a version whose networks hold the ranges of what their convolutions read; their weights stay as they are.

    Args:
        before: The version; what it is not shown pictures for stays without ranges.
        shown: Batches of pictures for each of its networks, each uint8, (B, H, W, 3), BGR.
        into: Folder of the new version; a version that was in it is replaced last, by its manifest.
        notes: ``version``, ``command`` and further ``metrics``.

    Raises:
        ProbeError: A network no longer answers its probe; the folder's manifest is unchanged.
        BlobMismatchError: A blob changed since the version was verified.
    """
    manifest = before.manifest
    probes = {"onnx": manifest.probe}
    probes |= {name: facts.probe for name, facts in (("glance", manifest.glance), ("quick", manifest.quick)) if facts}
    data = {name: before.read(name) for name in manifest.blobs}
    for name, pictures in shown.items():
        # The probe is no picture, but has to be answered in 8 bits, too.
        ranges = widest(measure_ranges(data[name], pictures), measure_ranges(data[name], [probes[name].pixels()]))
        data[name] = with_ranges(data[name], ranges)
        check_onnx(data[name], probes[name])
    into.mkdir(parents=True, exist_ok=True)
    blobs = {name: store_blob(into / manifest.blobs[name].file, content) for name, content in data.items()}
    measured = {name: sum(len(batch) for batch in pictures) for name, pictures in shown.items()}
    changes = {
        "version": notes["version"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": notes["command"],
        "blobs": blobs,
        "metrics": {**manifest.metrics, "ranges_measured_on": measured, **notes.get("metrics", {})},
    }
    made = manifest.model_copy(update=changes)
    replace_file(into / MANIFEST_NAME, (made.model_dump_json(indent=1) + "\n").encode())
    replace_file(into / "README.md", model_card(made).encode())
    return made
