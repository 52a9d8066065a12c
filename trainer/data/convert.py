"""Turn other people's data into ``faces.jsonl`` and ``crops.jsonl``: classes mapped, boxes clipped, split by group."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import TrainingError
from trainer.data.boxes import BoxedPicture, NamedBox, read_coco, read_voc, read_yolo
from trainer.data.classes import label_of
from trainer.data.folders import FolderOptions, read_folders
from trainer.data.pictures import Face, Scene, Skips, clip_faces, load_picture
from trainer.data.similar import difference_hash, group_similar
from trainer.data.split import split_by_group
from trainer.files import replace_file

READERS: dict[str, Callable[[Path], Iterator[BoxedPicture]]] = {"voc": read_voc, "yolo": read_yolo, "coco": read_coco}
FORMATS = (*READERS, "folders")


def convert(form: str, source: Path, out: Path, options: FolderOptions) -> dict[str, Any]:
    """Convert a data set and write its index; pictures stay where they are.

    Args:
        form: voc, yolo, coco or folders.
        source: Folder (COCO: or file) of the data set.
        out: The index to write: ``faces.jsonl``, for folders ``crops.jsonl``.
        options: Class mapping, validation share, seed, name.

    Returns:
        Counts and the list of what was skipped or clipped, for JSON.

    Raises:
        TrainingError: The data cannot be used; names file and reason, and ``out`` is as it was.
    """
    if form not in FORMATS:
        raise TrainingError(f"no format {form!r}; there are {', '.join(FORMATS)}")
    if not source.exists():
        raise TrainingError(f"{source}: not there")
    skips = Skips()
    if form == "folders":
        lines = _folder_lines(source, out, options, skips)
    else:
        lines = _scene_lines(READERS[form](source), source, out, options, skips)
    if not lines:
        raise TrainingError(f"{source}: no picture is left; skipped: {skips.listed[:3]}")
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    return _summary(lines, out, skips)


def _folder_lines(source: Path, out: Path, options: FolderOptions, skips: Skips) -> list[dict[str, Any]]:
    portraits = read_folders(source, replace(options, own_split=False), skips)
    return [
        {**portrait.model_dump(mode="json", exclude={"root"}), "file": _from(portrait.path, out)}
        for portrait in portraits
    ]


def _scene_lines(
    pictures: Iterable[BoxedPicture], source: Path, out: Path, options: FolderOptions, skips: Skips
) -> list[dict[str, Any]]:
    name = options.source or source.resolve().stem
    hashes, lines = [], []
    for boxed in pictures:
        picture = load_picture(boxed.path, skips)
        if picture is None:
            continue
        size = (picture.shape[1], picture.shape[0])
        hashes.append(difference_hash(picture))
        faces = _faces(boxed, size, options, skips)
        lines.append({"file": _from(boxed.path, out), "width": size[0], "height": size[1], "source": name,
                      "faces": [face.model_dump(mode="json") for face in faces]})  # fmt: skip
    if not lines:
        return []
    groups = group_similar(np.stack(hashes)).tolist()
    sides = split_by_group(groups, [_kind(line) for line in lines], options.val, options.seed)
    return [{**line, "group": group, "split": side} for line, group, side in zip(lines, groups, sides, strict=True)]


def _faces(boxed: BoxedPicture, size: tuple[int, int], options: FolderOptions, skips: Skips) -> list[Face]:
    faces = []
    for named in boxed.boxes:
        label = label_of(named.name, options.mapping, boxed.where)
        if label is not None:
            faces.append(Face.model_validate({"box": _pixels(named, size), "label": label}))
    scene = Scene(file=str(boxed.path), source="", group=0, split="train", faces=faces)
    whole = clip_faces(scene, size, skips)
    kept = {face.box for face in faces}
    cut = sum(face.box not in kept for face in whole.faces)
    if cut:
        skips.add(f"{boxed.where}: {cut} boxes reached outside the picture and were clipped")
    return whole.faces


def _pixels(named: NamedBox, size: tuple[int, int]) -> tuple[float, ...]:
    factors = (*size, *size) if named.relative else (1, 1, 1, 1)
    return tuple(round(value * factor, 2) for value, factor in zip(named.box, factors, strict=True))


def _kind(line: dict[str, Any]) -> str:
    """Name a picture's rarest label, so that rare labels come to both sides of the split."""
    labels = {face["label"] for face in line["faces"]}
    return next((label for label in ("incorrect", "no_mask", "mask") if label in labels), "empty")


def _from(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()


def _summary(lines: list[dict[str, Any]], out: Path, skips: Skips) -> dict[str, Any]:
    labels = Counter(face["label"] for line in lines for face in line.get("faces", [line]))
    return {
        "written": str(out),
        "pictures": len(lines),
        "labels": dict(labels),
        "groups": len({line["group"] for line in lines}),
        "val": sum(line["split"] == "val" for line in lines),
        "skipped": skips.listed,
    }
