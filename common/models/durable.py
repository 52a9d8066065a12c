"""Files and folders that are there as a whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common.errors import RegistryUnwritableError

TEMPORARY = ".tmp-"
LEFTOVER_AGE_S = 3600.0


def replace_file(path: Path, content: bytes) -> None:
    """Give a file new content in one step.

    Raises:
        RegistryUnwritableError: No space, or not allowed; the old content stays.
    """
    aside = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    with explained(path):
        try:
            _write(aside, content)
            aside.replace(path)
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Fill a folder beside ``folder``; when the block ends it takes that name, unless somebody was faster.

    Raises:
        RegistryUnwritableError: No space, or not allowed; ``folder`` did not appear.
    """
    aside = folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    with explained(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            aside.mkdir()
            yield aside
            sync_folder(aside)
            try:
                aside.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder and bring them to the disk.

    Raises:
        OSError: No space, or not allowed.
    """
    for name, content in files.items():
        _write(folder / name, content)


def remove_folder(folder: Path) -> None:
    """Make a folder vanish in one step, then delete what was in it.

    Raises:
        RegistryUnwritableError: Not allowed; it stays.
    """
    aside = folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    with explained(folder):
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return  # somebody else was faster
        sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def sweep_folder(folder: Path, now: float, age_s: float = LEFTOVER_AGE_S) -> int:
    """Remove what a killed process left half-done more than ``age_s`` ago; say how much younger is lying about."""
    younger = 0
    for path in folder.glob(f"{TEMPORARY}*"):
        try:
            old = now - path.stat().st_mtime > age_s
        except FileNotFoundError:
            continue
        if not old:
            younger += 1
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return younger


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say of a failed write what could not be written.

    Raises:
        RegistryUnwritableError: Instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise RegistryUnwritableError(f"{path}: cannot be written: {error.strerror or error}") from error
