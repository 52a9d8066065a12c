"""Read labelled pictures: scenes with boxes and one-person crops. Groups stay on their side of the split."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import FrameRejectedError, TrainingError
from common.geometry import FloatArray
from common.images import Picture, read_picture
from trainer.data.packs import CROPS, SCENES, inside_pack, is_pack, packed_lines, read_packed_picture
from trainer.data.split import Split, check_leak

Label = Literal["mask", "no_mask", "incorrect"]
Parsed = TypeVar("Parsed", bound=BaseModel)


class Face(BaseModel):
    """One labelled face of a scene."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    box: tuple[float, float, float, float]
    label: Label


class Scene(BaseModel):
    """A picture with all its faces boxed (small background faces may lack a box)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    source: str
    group: int | str
    split: Split
    faces: list[Face] = Field(default=[])
    root: Path = Path()

    @property
    def path(self) -> Path:
        """Where the picture lies."""
        return self.root / self.file

    @property
    def boxes(self) -> FloatArray:
        """float32, (K, 4), x1 y1 x2 y2, px."""
        return np.array([face.box for face in self.faces], np.float32).reshape(-1, 4)


class Portrait(BaseModel):
    """A picture of one person (or of people who all wear it alike) with one label."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    label: Label
    source: str
    group: int | str
    split: Split
    root: Path = Path()

    @property
    def path(self) -> Path:
        """Where the picture lies."""
        return self.root / self.file


@dataclass(slots=True)
class Skips:
    """Pictures that could not be used: counted, and listed by path and reason."""

    listed: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Note one more."""
        self.listed.append(reason)

    def __len__(self) -> int:
        return len(self.listed)


def read_scenes(index: Path) -> list[Scene]:
    """Read a ``faces.jsonl``, the one in a folder, or the scenes of a pack.

    Raises:
        TrainingError: The file is missing, a line malformed, or a group on both sides; names file and line.
    """
    path = index / SCENES if index.is_dir() else index
    scenes = [
        _parse(Scene, line, where).model_copy(update={"root": _root(path)}) for line, where in _lines(path, SCENES)
    ]
    check_groups(scenes, index)
    return scenes


def read_portraits(index: Path) -> list[Portrait]:
    """Read a ``crops.jsonl``, the one in a folder, or the one-person pictures of a pack.

    Raises:
        TrainingError: As ``read_scenes``.
    """
    path = index / CROPS if index.is_dir() else index
    portraits = [
        _parse(Portrait, line, where).model_copy(update={"root": _root(path)}) for line, where in _lines(path, CROPS)
    ]
    check_groups(portraits, index)
    return portraits


def check_groups(items: Sequence[Scene] | Sequence[Portrait], index: Path) -> None:
    """Refuse data in which near-duplicates lie on both sides of the split.

    Raises:
        TrainingError: Names the index and the files of the first such group.
    """
    check_leak([i.group for i in items], [i.split for i in items], [i.file for i in items], str(index))


def clip_faces(scene: Scene, size: tuple[int, int], skips: Skips) -> Scene:
    """Clip a scene's boxes to its picture of (width, height) px; boxes without area inside are left out and listed."""
    faces = []
    for face in scene.faces:
        x1, y1, x2, y2 = face.box
        box = (max(0.0, x1), max(0.0, y1), min(float(size[0]), x2), min(float(size[1]), y2))
        if not all(map(math.isfinite, face.box)) or box[0] >= box[2] or box[1] >= box[3]:
            skips.add(f"{scene.path}: box {list(face.box)} has no area inside the {size[0]}×{size[1]} px picture")
            continue
        faces.append(face if box == face.box else face.model_copy(update={"box": box}))
    return scene.model_copy(update={"faces": faces})


def load_picture(path: Path, skips: Skips) -> Picture | None:
    """Read a picture, or note why it is skipped and give None."""
    try:
        packed = inside_pack(path)
        return read_packed_picture(*packed) if packed else read_picture(path)
    except FrameRejectedError as error:
        skips.add(str(error))
        return None


def _root(path: Path) -> Path:
    return path if is_pack(path) else path.parent


def _lines(index: Path, member: str) -> Iterator[tuple[str, str]]:
    if is_pack(index):
        yield from packed_lines(index, member)
        return
    try:
        text = index.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{index}: cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield line, f"{index}:{number}"


def _parse(model: type[Parsed], line: str, where: str) -> Parsed:
    try:
        return model.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise TrainingError(f"{where}: no JSON object: {error.msg}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
