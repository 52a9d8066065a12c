"""Faces with the near-duplicate group of each, cut as production cuts them; sets that stay are cut once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import TrainingError
from common.models.manifest import bundled, load_version
from common.models.torch_load import load_graph
from trainer.data.folders import portraits_of
from trainer.data.packs import CROPS, SCENES, is_pack
from trainer.data.pictures import Portrait, Scene, Skips, clip_faces, load_picture, read_scenes
from trainer.faces.cuts import CutFace, FaceSet, cut_portrait, cut_scene, gather
from trainer.faces.finder import FaceFinder

Item = Scene | Portrait
_OWN_VAL = 0.15


@dataclass(frozen=True, slots=True)
class GroupedFaces:
    """Cut faces, and what they were cut from.

    Attributes:
        faces: The faces.
        groups: str, (M,), near-duplicate group, unique across sources.
        items: int64, (M,), index of the picture.
    """

    faces: FaceSet
    groups: NDArray[np.str_]
    items: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.groups)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> GroupedFaces:
        """Give a subset."""
        return GroupedFaces(self.faces.select(chosen), self.groups[chosen], self.items[chosen])


def read_set(indexes: Sequence[Path], skips: Skips) -> list[Item]:
    """Read pictures from folders, indexes and packs; scenes, one-person pictures or both.

    Raises:
        TrainingError: A place holds neither, or what it holds cannot be used.
    """
    items: list[Item] = []
    for index in indexes:
        scenes = is_pack(index) or index.name == SCENES or (index / SCENES).is_file()
        crops = is_pack(index) or index.name == CROPS or (index / CROPS).is_file()
        if scenes:
            items += read_scenes(index)
        if crops or not scenes:
            items += portraits_of(index, _OWN_VAL, skips)
    return items


def open_finder() -> FaceFinder:
    """Load the bundled detector, which cuts the faces of every set alike."""
    return FaceFinder(load_graph(load_version(bundled("detector"), "detector")))


def cut_items(
    items: Sequence[Item], finder: FaceFinder, skips: Skips, should_stop: Callable[[], bool] = lambda: False
) -> GroupedFaces:
    """Cut the faces of pictures; unreadable ones are noted in ``skips``.

    Raises:
        InterruptedError: It was told to stop; nothing is left behind.
    """
    faces: list[CutFace] = []
    groups: list[str] = []
    origin: list[int] = []
    for number, item in enumerate(items):
        if should_stop():
            raise InterruptedError
        picture = load_picture(item.path, skips)
        if picture is None:
            continue
        if isinstance(item, Scene):
            whole = clip_faces(item, (picture.shape[1], picture.shape[0]), skips)
            found = list(cut_scene(whole, picture, finder))
        else:
            found = list(cut_portrait(item, picture, finder))
        faces += found
        groups += [f"{item.source}/{item.group}"] * len(found)
        origin += [number] * len(found)
    return GroupedFaces(gather(faces), np.array(groups, np.str_), np.array(origin, np.int64))


def cut_once(
    items: Sequence[Item], cache: Path, finder: FaceFinder, skips: Skips, should_stop: Callable[[], bool]
) -> GroupedFaces:
    """Cut the faces of a set that stays, or take them from the cache if the same set was cut before.

    Raises:
        InterruptedError: It was told to stop; the cache is as before.
        TrainingError: The cache cannot be written.
    """
    mark = _mark(items)
    known = _load(cache, mark)
    if known is not None:
        return known
    cut = cut_items(items, finder, skips, should_stop)
    about = json.dumps({"mark": mark, "groups": cut.groups.tolist(), "items": cut.items.tolist()})
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cut.faces.save(cache, about)
    except OSError as error:
        raise TrainingError(f"{cache}: cannot be written: {error}") from error
    return cut


def _mark(items: Sequence[Item]) -> str:
    lines = [f"{item.root}/{item.model_dump_json(exclude={'root'})}" for item in items]
    detector = load_version(bundled("detector"), "detector").manifest.identity
    return hashlib.sha256("\n".join([detector, *lines]).encode()).hexdigest()


def _load(cache: Path, mark: str) -> GroupedFaces | None:
    try:
        with np.load(cache) as stored:
            about = json.loads(str(stored["about"]))
        if about["mark"] != mark:
            return None
        return GroupedFaces(FaceSet.load(cache), np.array(about["groups"], np.str_), np.array(about["items"], np.int64))
    except (OSError, ValueError, KeyError):
        return None  # not there, of another set, or damaged: it is cut anew
