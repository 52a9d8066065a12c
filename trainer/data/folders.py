"""Read a folder per class: ``DIR/with_mask/…``, or ``DIR/train/with_mask/…`` beside ``DIR/val/with_mask/…``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import TrainingError
from trainer.data.classes import label_of
from trainer.data.packs import CROPS
from trainer.data.pictures import Portrait, Skips, load_picture, read_portraits
from trainer.data.similar import difference_hash, group_similar
from trainer.data.split import Split, check_leak, split_by_group

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
SIDES: dict[str, Split] = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
                           "test": "val"}  # fmt: skip
SPLIT_SEED = 1


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """How a folder is read.

    Attributes:
        mapping: Class name to label, before the known synonyms.
        val: Share kept for validation where the folder has no split of its own.
        seed: Seed of that choice.
        source: Name of the data set; the folder's own name if empty.
        own_split: Whether folders named train and val are believed; if not, everything is divided anew.
    """

    mapping: Mapping[str, str]
    val: float = 0.15
    seed: int = SPLIT_SEED
    source: str = ""
    own_split: bool = True


def read_folders(folder: Path, options: FolderOptions, skips: Skips) -> list[Portrait]:
    """Read one-person pictures that lie in a folder per class.

    Near-duplicates share a group. Pictures that cannot be read are listed in ``skips``.

    Raises:
        TrainingError: A class folder means no label, only one class is there, nothing is there, or the folder's own
            split leaks a group.
    """
    found = list(_pictures(folder, options.mapping, skips))
    files, labels, given = [item[0] for item in found], [item[1] for item in found], [item[2] for item in found]
    if len(set(labels)) < 2:
        only = f"only {labels[0]!r}" if labels else "no picture"
        raise TrainingError(f"{folder}: {only} in its class folders; two classes at least are needed")
    groups, usable = group_files([folder / file for file in files], skips)
    files, labels, given = [files[i] for i in usable], [labels[i] for i in usable], [given[i] for i in usable]
    if options.own_split and any(side is not None for side in given):
        sides: list[Split] = [side or "train" for side in given]
    else:
        sides = split_by_group(groups, labels, options.val, options.seed)
    try:
        check_leak(groups, sides, files, str(folder))
    except TrainingError as error:
        command = f"maskwatch train convert --from folders {folder} --out crops.jsonl"
        raise TrainingError(f"{error}; `{command}` divides everything anew by group") from error
    source = options.source or folder.resolve().name
    return [
        Portrait.model_validate(
            {"file": file, "label": label, "source": source, "group": group, "split": side, "root": folder}
        )
        for file, label, group, side in zip(files, labels, groups, sides, strict=True)
    ]


def portraits_of(index: Path, val: float, skips: Skips) -> list[Portrait]:
    """Read one-person pictures from whatever ``index`` is: ``crops.jsonl``, a pack, or a folder per class."""
    if index.is_dir() and not (index / CROPS).is_file():
        return read_folders(index, FolderOptions({}, val=val), skips)
    return read_portraits(index)


def group_files(paths: list[Path], skips: Skips) -> tuple[list[int], list[int]]:
    """Group near-duplicates among picture files; gives the groups and the indices of the files that could be read."""
    hashes, usable = [np.zeros((0, 4), np.uint64)], []
    for index, path in enumerate(paths):
        picture = load_picture(path, skips)
        if picture is not None:
            hashes.append(difference_hash(picture)[None])
            usable.append(index)
    return group_similar(np.concatenate(hashes)).tolist(), usable


def _pictures(
    folder: Path, mapping: Mapping[str, str], skips: Skips
) -> Iterator[tuple[str, str, Split | None]]:  # fmt: skip
    for entry in _folders(folder):
        side = SIDES.get(entry.name.lower())
        if side is None:
            yield from _class_folder(folder, entry, mapping, skips, None)
            continue
        for inner in _folders(entry):
            yield from _class_folder(folder, inner, mapping, skips, side)


def _class_folder(
    root: Path, entry: Path, mapping: Mapping[str, str], skips: Skips, side: Split | None
) -> Iterator[tuple[str, str, Split | None]]:
    label = label_of(entry.name, mapping, str(entry.parent))
    if label is None:
        return
    for path in sorted(entry.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield path.relative_to(root).as_posix(), label, side
        elif path.is_file() and not path.name.startswith("."):
            skips.add(f"{path}: no picture file by its name")


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be read: {error.strerror}") from error
