"""A data set in one file: a zip with an index, labels and pictures as JPEG, small enough to travel."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import FrameRejectedError, TrainingError
from common.images import MAX_SIDE_PX, MIN_SIDE_PX, Picture
from common.jpeg import decode

SUFFIX = ".pack"
SCENES, CROPS, MANIFEST = "faces.jsonl", "crops.jsonl", "manifest.json"
MAX_MEMBER_BYTES = 32 << 20
MAX_MEMBERS = 500_000


def is_pack(path: Path) -> bool:
    """Say whether a path is a pack (by its name)."""
    return path.suffix == SUFFIX


def inside_pack(path: Path) -> tuple[Path, str] | None:
    """Divide ``data.pack/images/1.jpg`` into the pack and the member's name; None if the path is in no pack."""
    for parent in path.parents:
        if is_pack(parent) and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def read_member(pack: Path, member: str) -> bytes:
    """Read one member.

    Raises:
        TrainingError: The pack or the member is missing, damaged or too large.
    """
    try:
        archive = _open(pack, pack.stat().st_mtime_ns)
        info = archive.getinfo(member)
        if info.file_size > MAX_MEMBER_BYTES:
            raise TrainingError(f"{pack}: {member} has {info.file_size} bytes")
        return archive.read(info)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{pack}: {member} cannot be read: {error}") from error


@functools.lru_cache(4)
def _open(pack: Path, _changed: int) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(pack)
    if len(archive.infolist()) > MAX_MEMBERS:
        raise zipfile.BadZipFile(f"more than {MAX_MEMBERS} members")
    return archive


def read_packed_picture(pack: Path, member: str) -> Picture:
    """Read a picture of a pack: uint8, (H, W, 3), BGR.

    Raises:
        FrameRejectedError: It is missing or no JPEG, or outside the size limits.
    """
    try:
        data = read_member(pack, member)
    except TrainingError as error:
        raise FrameRejectedError("decode", str(error)) from error
    picture = decode(data) if data else None
    if picture is None or not MIN_SIDE_PX <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= MAX_SIDE_PX:
        raise FrameRejectedError("dimensions", f"{pack}: {member} is empty or outside the limits")
    return picture


def packed_lines(pack: Path, index: str) -> Iterator[tuple[str, str]]:
    """Give the lines of an index of a pack, each with where it stands.

    Raises:
        TrainingError: The file is no pack.
    """
    try:
        about = json.loads(read_member(pack, MANIFEST))
        right = about["format"] == "maskwatch-pack" and about["version"] == 1
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{pack}: no pack: {error}") from error
    if not right:
        raise TrainingError(f"{pack}: a pack of a kind that this version does not read")
    for number, line in enumerate(read_member(pack, index).decode("utf-8").splitlines(), 1):
        yield line, f"{pack}/{index}:{number}"
