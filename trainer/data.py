"""Read labelled pictures: scenes with boxes and one-person crops. Groups stay on their side of the split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import FrameRejectedError, TrainingError
from common.geometry import FloatArray
from common.images import Picture, read_picture

Split = Literal["train", "val"]
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
    """Read a ``faces.jsonl``.

    Raises:
        TrainingError: The file is missing, a line malformed, or a group on both sides; names file and line.
    """
    scenes = [_parse(Scene, line, where).model_copy(update={"root": index.parent}) for line, where in _lines(index)]
    check_groups(scenes, index)
    return scenes


def read_portraits(index: Path) -> list[Portrait]:
    """Read a ``crops.jsonl``.

    Raises:
        TrainingError: As ``read_scenes``.
    """
    portraits = [
        _parse(Portrait, line, where).model_copy(update={"root": index.parent}) for line, where in _lines(index)
    ]
    check_groups(portraits, index)
    return portraits


def check_groups(items: Iterable[Scene | Portrait], index: Path) -> None:
    """Refuse data in which near-duplicates lie on both sides of the split.

    Raises:
        TrainingError: Names the file and the first such group.
    """
    sides: dict[int | str, str] = {}
    for item in items:
        if sides.setdefault(item.group, item.split) != item.split:
            raise TrainingError(f"{index}: group {item.group} is in both train and val; near-duplicates would leak")


def load_picture(path: Path, skips: Skips) -> Picture | None:
    """Read a picture, or note why it is skipped and give None."""
    try:
        return read_picture(path)
    except FrameRejectedError as error:
        skips.add(str(error))
        return None


def _lines(index: Path) -> Iterator[tuple[str, str]]:
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
