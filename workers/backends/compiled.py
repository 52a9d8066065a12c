"""Compiled networks kept between starts: whole or not at all, and never a reason for not starting."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 300 << 20
"""What the folder may hold; a pair of versions takes about 35 MB. The longest unused goes first."""
_SUFFIXES = (".net", ".blob")


class CompiledCache:
    """A folder of compiled networks. Trouble with it costs time, nothing else.

    A network is kept with its hash: one that was cut off or changed on disk is not found. Several processes may share
    a folder.

    Args:
        folder: Where; made if it is not there. None keeps nothing.
        machine: What compiled networks depend on beside the model: library, processor, settings.
    """

    def __init__(self, folder: Path | None, machine: str) -> None:
        self._folder = folder if folder is not None and _writable(folder) else None
        self._machine = machine

    def get(self, key: str) -> bytes | None:
        """Give a network; None where there is none that is whole."""
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data[32:] if hashlib.sha256(data[32:]).digest() == data[:32] else None

    def holds(self, key: str) -> bool:
        """Say whether a network is there, whole or not; it counts as used."""
        if self._folder is None:
            return False
        try:
            os.utime(self._path(self._folder, key))
        except OSError:
            return False
        return True

    def put(self, key: str, network: bytes) -> None:
        """Keep a network, if that is possible."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._make_room(self._folder, len(network))
            handle, name = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(network).digest() + network)
                Path(name).replace(self._path(self._folder, key))
            except OSError:
                Path(name).unlink(missing_ok=True)

    def _path(self, folder: Path, key: str) -> Path:
        name = hashlib.sha256(f"{self._machine} {key}".encode()).hexdigest()
        return folder / f"{name[:40]}.net"

    def _make_room(self, folder: Path, wanted: int) -> None:
        files = sorted(_files(folder), key=lambda file: file[1].st_mtime)
        held = sum(about.st_size for _, about in files)
        for path, about in files:
            if held + wanted <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            held -= about.st_size


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.iterdir():
        if path.suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                yield path, path.stat()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True
