"""Finds JPEG pictures where none may be: in values of a broker and in files. Pure, but for reading files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\xff\xd8\xff"
_BASE64 = (b'"/9j/', b"'/9j/")
_SEGMENTS = frozenset({*range(0xE0, 0xF0), 0xC0, 0xC2, 0xC4, 0xDB, 0xDD, 0xFE})
_CHUNK_BYTES = 8 << 20
_OVERLAP_BYTES = 1 << 17


def holds_jpeg(data: bytes) -> bool:
    """Say whether bytes hold a JPEG, in plain or in base64.

    The three bytes that every JPEG begins with also turn up by chance, once in 16 MB of compressed data or weights.
    They count where a value, or a line of a broker's file, begins with them, and elsewhere where a second segment
    follows the first one.
    """
    if data.startswith((MAGIC, b"/9j/")) or any(mark in data for mark in _BASE64):
        return True
    at = data.find(MAGIC)
    while at >= 0:
        if data[at - 2 : at] == b"\r\n" or _goes_on(data, at + 2):
            return True
        at = data.find(MAGIC, at + 1)
    return False


def files_with_jpeg(folder: Path) -> Iterator[tuple[Path, str]]:
    """Look through a folder's files; gives those that hold a picture, or could not be read, and which of the two."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            found = any(holds_jpeg(chunk) for chunk in _chunks(path))
        except OSError as error:
            yield path, error.strerror or "cannot be read"
            continue
        if found:
            yield path, ""


def _goes_on(data: bytes, at: int) -> bool:
    """Follow one segment from its marker at ``at``: is there another marker where it ends?"""
    if at + 4 > len(data) or data[at + 1] not in _SEGMENTS:
        return False
    length = int.from_bytes(data[at + 2 : at + 4])
    behind = at + 2 + length
    return length > 2 and behind + 1 < len(data) and data[behind] == 0xFF and data[behind + 1] in _SEGMENTS


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        tail = b"\n"
        while chunk := file.read(_CHUNK_BYTES):
            yield tail + chunk
            tail = chunk[-_OVERLAP_BYTES:]
