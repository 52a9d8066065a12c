"""Gather what a version's networks are shown, and make the version that holds their ranges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import TrainingError
from common.models.manifest import MANIFEST_NAME, BlobName, Manifest, ModelVersion, bundled, load_version, read_manifest
from common.models.torch_load import load_graph
from trainer.data.folders import portraits_of
from trainer.data.pictures import Portrait, Scene, Skips, read_scenes
from trainer.faces.finder import FaceFinder
from trainer.release.quantise import Shown, quantise
from trainer.release.shown import canvases_shown, crops_shown


def quantise_version(
    folder: Path, scenes: Sequence[Path], crops: Sequence[Path], into: Path, notes: dict[str, Any]
) -> Manifest:
    """Make a version like another whose networks hold ranges; see `quantise`.

    Args:
        folder: The version, a detector or a classifier.
        scenes: Pictures with boxes; their training part is used.
        crops: One-person pictures, for a classifier.
        into: Folder of the new version.
        notes: See `quantise`.

    Raises:
        ModelError: The version cannot be used.
        TrainingError: The data cannot be used.
    """
    version = load_version(folder, read_manifest(folder / MANIFEST_NAME).kind)
    skips = Skips()
    pictures = [scene for index in scenes for scene in read_scenes(index)]
    if version.manifest.kind == "detector":
        if version.manifest.glance is None:
            raise TrainingError(f"{folder}: a detector without a glance; itself it stays as it is")
        shown: Shown = {"glance": canvases_shown(pictures, skips)}
    else:
        shown = _of_faces(version, [*pictures, *(one for index in crops for one in portraits_of(index, 0.0, skips))])
    return quantise(version, shown, into, notes)


def _of_faces(version: ModelVersion, items: Sequence[Scene | Portrait]) -> Shown:
    finder = FaceFinder(load_graph(load_version(bundled("detector"), "detector")))
    crops = crops_shown(items, version, finder, Skips())
    names: tuple[BlobName, ...] = ("onnx", "quick")
    return {name: crops for name in names if name in version.manifest.blobs}
