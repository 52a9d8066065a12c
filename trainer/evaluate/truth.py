"""What is on the pictures, from ``faces.jsonl`` and ``crops.jsonl``; only ``file`` and labels are needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from common.errors import ConfigError, TrainingError
from common.geometry import FloatArray
from common.models.manifest import LABELS

Label = Literal["mask", "no_mask", "incorrect"]
INDEX_NAMES = {"scenes": "faces.jsonl", "crops": "crops.jsonl"}
ALL, USUAL = "all", "val"
Parsed = TypeVar("Parsed", bound=BaseModel)
Group = int | str


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """A picture with all its faces.

    Attributes:
        path: Where it lies.
        file: Its name in the index.
        source: Data set it comes from.
        group: Near-duplicates share one.
        boxes: float32, (T, 4), x1 y1 x2 y2, px.
        labels: int64, (T,), index into the label order.
    """

    path: Path
    file: str
    source: str
    group: Group
    boxes: FloatArray
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CropTruth:
    """A picture of one person; attributes as of `SceneTruth`, and one label."""

    path: Path
    file: str
    source: str
    group: Group
    label: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that was left out of the figures, and why; never silently."""

    file: str
    reason: str


class Line(BaseModel):
    """What every line of an index has; what is missing is one source, its own group, validation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str
    source: str = "data"
    group: Group | None = None
    split: str = USUAL


class _Face(BaseModel):
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    label: Label


class _SceneLine(Line):
    width: float | None = None
    height: float | None = None
    faces: list[_Face]


class _CropLine(Line):
    label: Label


def index_of(given: Path, kind: Literal["scenes", "crops"]) -> Path:
    """Give the index file of a data set folder, or the file itself.

    Raises:
        ConfigError: There is none; the message says what would be.
    """
    if given.is_file():
        return given
    index = given / INDEX_NAMES[kind]
    if index.is_file():
        return index
    other = "crops" if kind == "scenes" else "scenes"
    if (given / INDEX_NAMES[other]).is_file():
        raise ConfigError(f"{given}: holds {INDEX_NAMES[other]}: use `maskwatch evaluate {other}`")
    raise ConfigError(f"{given}: no such file, or a folder without {INDEX_NAMES[kind]}")


def read_scenes(index: Path, split: str) -> tuple[list[SceneTruth], list[Remark]]:
    """Read the pictures of one split (or ``all``), and remark the boxes that cannot be judged.

    Raises:
        TrainingError: Unreadable, a malformed line, a near-duplicate on both sides, nothing in the split.
    """
    remarks: list[Remark] = []
    scenes = [_scene(line, index.parent, remarks) for line in _chosen(_SceneLine, index, split, remarks)]
    return scenes, remarks


def read_crops(index: Path, split: str) -> tuple[list[CropTruth], list[Remark]]:
    """Read the one-person pictures of one split (or ``all``); raises as `read_scenes`."""
    remarks: list[Remark] = []
    crops = [
        CropTruth(index.parent / line.file, line.file, line.source, _group(line), LABELS.index(line.label))
        for line in _chosen(_CropLine, index, split, remarks)
    ]
    return crops, remarks


def usual_split(index: Path) -> str:
    """Give ``val`` where the index has such pictures, else ``all``; raises `TrainingError` where it cannot be read."""
    return USUAL if any(line.split == USUAL for line in parse_lines(Line, index)) else ALL


def parse_lines(model: type[Parsed], path: Path) -> Iterator[Parsed]:
    """Read JSON lines.

    Raises:
        TrainingError: Names the file, the line and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield model.model_validate(json.loads(line))
        except json.JSONDecodeError as error:
            raise TrainingError(f"{path}:{number}: no JSON object: {error.msg}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise TrainingError(f"{path}:{number}: {where}: {first['msg']}") from error


LineKind = TypeVar("LineKind", bound=Line)


def _chosen(model: type[LineKind], index: Path, split: str, remarks: list[Remark]) -> list[LineKind]:
    lines = list(parse_lines(model, index))
    if split != ALL:
        _refuse_leaks(lines, index)
    chosen: dict[str, LineKind] = {}
    for line in lines:
        if split not in (ALL, line.split):
            continue
        if line.file in chosen:
            remarks.append(Remark(line.file, "named twice in the index; only the first line counts"))
        else:
            chosen[line.file] = line
    if not chosen:
        there = ", ".join(sorted({line.split for line in lines})) or "none at all"
        raise TrainingError(
            f"{index}: no picture in split {split!r}; there is: {there} (--split {ALL} takes everything)"
        )
    return list(chosen.values())


def _refuse_leaks(lines: Sequence[Line], index: Path) -> None:
    sides: dict[Group, str] = {}
    for line in lines:
        first = sides.setdefault(_group(line), line.split)
        if first != line.split:
            raise TrainingError(
                f"{index}: group {line.group} is in both {first} and {line.split}; near-duplicates would leak"
            )


def _group(line: Line) -> Group:
    return line.file if line.group is None else line.group


def _scene(line: _SceneLine, root: Path, remarks: list[Remark]) -> SceneTruth:
    kept: list[_Face] = []
    for number, face in enumerate(line.faces, 1):
        reason = _unusable(face.box, line.width, line.height)
        if reason:
            remarks.append(Remark(line.file, f"face {number}: {reason}; not counted"))
        else:
            kept.append(face)
    boxes = np.array([face.box for face in kept], np.float32).reshape(-1, 4)
    labels = np.array([LABELS.index(face.label) for face in kept], np.int64)
    return SceneTruth(root / line.file, line.file, line.source, _group(line), boxes, labels)


def _unusable(box: tuple[float, ...], width: float | None, height: float | None) -> str:
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return "box without area"
    if x2 <= 0 or y2 <= 0 or (width is not None and x1 >= width) or (height is not None and y1 >= height):
        return "box outside the picture"
    return ""
