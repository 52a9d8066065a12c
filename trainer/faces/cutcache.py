"""Cut the faces of all data once, and keep them with what they were cut from and what was skipped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from common.errors import TrainingError
from common.models.manifest import bundled, load_version
from common.models.torch_load import load_graph
from trainer.data.folders import portraits_of
from trainer.data.pictures import Portrait, Scene, Skips, read_scenes
from trainer.faces.cuts import FaceSet, cut_all
from trainer.faces.finder import FaceFinder
from trainer.settings import ClassifierSettings

console = Console(stderr=True)


def cut_faces(settings: ClassifierSettings, skips: Skips) -> FaceSet:
    """Cut the faces of all data with the detector, or take them from the cache if the same data was cut before.

    Raises:
        TrainingError: There is no data, it cannot be used, or the cache holds faces of other data.
    """
    items: list[Scene | Portrait] = [scene for index in settings.scenes for scene in read_scenes(index)]
    items += [portrait for index in settings.crops for portrait in portraits_of(index, settings.val, skips)]
    if not items:
        raise TrainingError("no data: give --scenes, --crops, --pack or several of them")
    version = load_version(settings.detector or bundled("detector"), "detector")
    mark = _mark(items, version.manifest.identity)
    cache = settings.cache or settings.run / "faces.npz"
    if cache.is_file():
        return _load(cache, mark, skips, own=settings.cache is None)
    finder = FaceFinder(load_graph(version))
    with console.status("cutting faces") as status:
        faces = cut_all(
            items, finder, skips, lambda done: status.update(f"cutting faces: picture {done} of {len(items)}")
        )
    _save(faces, cache, mark, skips)
    return faces


def _mark(items: list[Scene | Portrait], detector: str) -> str:
    """Give a hash that changes with the pictures' names, labels, boxes or sides, and with the detector."""
    lines = sorted(item.model_dump_json(exclude={"root"}) for item in items)
    return hashlib.sha256("\n".join([detector, *lines]).encode()).hexdigest()


def _load(cache: Path, mark: str, skips: Skips, *, own: bool) -> FaceSet:
    try:
        with np.load(cache) as stored:
            about = json.loads(str(stored["about"])) if "about" in stored and str(stored["about"]) else {}
        if about.get("mark", mark) != mark:
            remedy = "--overwrite" if own else "another --cache"
            raise TrainingError(f"{cache}: holds faces of other data or another detector; remove it or give {remedy}")
        faces = FaceSet.load(cache)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{cache}: no faces that were cut before: {error}") from error
    skips.listed = list(dict.fromkeys([*skips.listed, *about.get("skipped", [])]))
    console.print(f"{len(faces.labels)} faces taken from {cache}")
    return faces


def _save(faces: FaceSet, cache: Path, mark: str, skips: Skips) -> None:
    about = json.dumps({"mark": mark, "skipped": skips.listed})
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        faces.save(cache, about)
    except OSError as error:
        raise TrainingError(f"{cache}: cannot be written: {error}") from error
