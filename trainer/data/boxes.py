"""Boxes as other tools write them: PASCAL VOC, YOLO and COCO, read into one shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from common.errors import TrainingError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class NamedBox:
    """One box with the class name its file gives it.

    Attributes:
        name: Class name, or a YOLO class number as text where no names are given.
        box: x1 y1 x2 y2, px; shares of the picture's sides where ``relative``.
        relative: Whether the box is in shares 0..1.
    """

    name: str
    box: tuple[float, float, float, float]
    relative: bool = False


@dataclass(frozen=True, slots=True)
class BoxedPicture:
    """One picture with its boxes, and the file that says so."""

    path: Path
    boxes: list[NamedBox]
    where: str


def read_voc(folder: Path) -> Iterator[BoxedPicture]:
    """Read PASCAL VOC: ``Annotations/*.xml`` (or XML files anywhere) with pictures beside them or in ``JPEGImages``.

    Raises:
        TrainingError: No annotation, a malformed one, or one without its picture; names the file.
    """
    pictures = _pictures(folder)
    annotations = sorted(folder.rglob("*.xml"))
    if not annotations:
        raise TrainingError(f"{folder}: no .xml annotation")
    for annotation in annotations:
        text = _text(annotation)
        if "<!ENTITY" in text:
            raise TrainingError(f"{annotation}: an entity declaration is no part of VOC")
        try:
            tree = ElementTree.fromstring(text)  # noqa: S314 (entities are refused above)
            name = tree.findtext("filename") or annotation.stem
            boxes = [_voc_box(thing) for thing in tree.iter("object")]
        except (ElementTree.ParseError, ValueError, TypeError) as error:
            raise TrainingError(f"{annotation}: no VOC annotation: {error}") from error
        yield BoxedPicture(_picture_of(pictures, [name, annotation.stem], annotation), boxes, str(annotation))


def _voc_box(thing: ElementTree.Element) -> NamedBox:
    x1, y1, x2, y2 = (float(str(thing.findtext(f"bndbox/{key}"))) for key in ("xmin", "ymin", "xmax", "ymax"))
    return NamedBox(str(thing.findtext("name")), (x1, y1, x2, y2))


def read_yolo(folder: Path) -> Iterator[BoxedPicture]:
    """Read YOLO: ``labels/**/*.txt`` with pictures of the same names; classes from ``data.yaml`` or ``classes.txt``.

    Raises:
        TrainingError: No label file, a malformed line, or one without its picture; names file and line.
    """
    names, pictures = _yolo_names(folder), _pictures(folder)
    found = [path for path in sorted(folder.rglob("*.txt")) if path.stem in pictures]
    if not found:
        raise TrainingError(f"{folder}: no label file (.txt) with a picture of the same name")
    for path in found:
        lines = [(line, f"{path}:{n}") for n, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
        boxes = [_yolo_box(line, names, where) for line, where in lines]
        yield BoxedPicture(_picture_of(pictures, [path.stem], path), boxes, str(path))


def _yolo_names(folder: Path) -> dict[int, str]:
    for path in sorted([*folder.glob("*.y*ml"), *folder.glob("*/*.y*ml")]):
        about = yaml.safe_load(_text(path))
        names = about.get("names") if isinstance(about, dict) else None
        if isinstance(names, list):
            return {number: str(name) for number, name in enumerate(names)}
        if isinstance(names, dict):
            return {int(number): str(name) for number, name in names.items()}
    for path in [folder / "classes.txt", folder / "obj.names", folder / "labels" / "classes.txt"]:
        if path.is_file():
            return dict(enumerate(line.strip() for line in _text(path).splitlines() if line.strip()))
    return {}


def _yolo_box(line: str, names: dict[int, str], where: str) -> NamedBox:
    try:
        number, x, y, width, height = line.split()[:5]
        centre_x, centre_y, w, h = float(x), float(y), float(width), float(height)
        name = names.get(int(number), number)
    except ValueError as error:
        raise TrainingError(f"{where}: no YOLO line (class x y width height): {line[:60]!r}") from error
    return NamedBox(name, (centre_x - w / 2, centre_y - h / 2, centre_x + w / 2, centre_y + h / 2), relative=True)


def read_coco(source: Path) -> Iterator[BoxedPicture]:
    """Read COCO: a JSON file, or a folder with JSON files of ``images``, ``annotations`` and ``categories``.

    Raises:
        TrainingError: No such file, a malformed one, or one that names a picture that is not there.
    """
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    if not files:
        raise TrainingError(f"{source}: no .json annotation")
    root = source if source.is_dir() else source.parent
    pictures = _pictures(root if any(root.rglob("*.jpg")) else root.parent)
    for path in files:
        try:
            yield from _coco_pictures(json.loads(_text(path)), pictures, path)
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}: no COCO annotation: {type(error).__name__}: {error}") from error


def _coco_pictures(about: dict[str, Any], pictures: dict[str, Path], path: Path) -> Iterator[BoxedPicture]:
    names = {category["id"]: str(category["name"]) for category in about["categories"]}
    boxes: dict[Any, list[NamedBox]] = {image["id"]: [] for image in about["images"]}
    for annotation in about["annotations"]:
        if annotation.get("iscrowd"):
            continue
        x, y, width, height = map(float, annotation["bbox"])
        boxes[annotation["image_id"]].append(NamedBox(names[annotation["category_id"]], (x, y, x + width, y + height)))
    for image in about["images"]:
        beside = path.parent / image["file_name"]
        found = beside if beside.is_file() else _picture_of(pictures, [image["file_name"]], path)
        yield BoxedPicture(found, boxes[image["id"]], f"{path}: {image['file_name']}")


def _pictures(folder: Path) -> dict[str, Path]:
    """Give a folder's pictures by file name and by stem."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    return {path.stem: path for path in found} | {path.name: path for path in found}


def _picture_of(pictures: dict[str, Path], names: list[str], where: Path) -> Path:
    for name in names:
        last = re.split(r"[\\/]", name)[-1]
        for key in (last, Path(last).stem):
            if key in pictures:
                return pictures[key]
    raise TrainingError(f"{where}: its picture {names[0]!r} is not there")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TrainingError(f"{path}: more than {MAX_FILE_BYTES >> 20} MB")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
