"""A worker's own copies of versions: fetched once, verified before every first use, complete or not there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from common.errors import VersionRefusedError
from common.models.admission import examine
from common.models.durable import appearing, remove_folder, sweep_folder, write_files
from common.models.signatures import Trust
from common.models.versionref import VersionRef

COPIES_KEPT = 20
_COPY = re.compile(r"(detector|classifier)-.+-[0-9a-f]{12}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Source = Callable[[], Mapping[str, bytes]]
"""Gives the files of a version, as a registry keeps them."""


def settle(ref: VersionRef, into: Path, trust: Trust, source: Source) -> Path:
    """Give a verified copy's folder; one that is there and whole is used again, a damaged one is replaced.

    Args:
        ref: Which version.
        into: Folder of copies; made where there is none.
        trust: Whose signatures count.
        source: Called only where no good copy is there.

    Raises:
        VersionRefusedError: What the source gave does not pass; no copy appeared.
        RegistryUnwritableError: No space, or not allowed; no copy appeared.
    """
    folder = into / ref.folder
    if folder.is_dir():
        try:
            examine(folder, trust, ref)
        except VersionRefusedError as error:
            if error.reason == "signature" or not folder.is_dir():
                raise
            remove_folder(folder)
        else:
            with suppress(OSError):  # a cache that may only be read is a good cache
                os.utime(folder)
            return folder
    if into.is_dir():
        sweep_folder(into, time.time())
    files = source()
    _check_names(ref, files)
    with appearing(folder) as aside:
        write_files(aside, files)
        examine(aside, trust, ref)
    _forget_oldest(into)
    return folder


def _check_names(ref: VersionRef, names: Iterable[str]) -> None:
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise VersionRefusedError("files", f"{ref.label}: {name[:80]!r} is not a plain file name")


def _forget_oldest(into: Path) -> None:
    """Keep the copies that were used last; what a worker computes with is in its memory."""
    with suppress(FileNotFoundError):  # another process that shares the cache is at it, too
        copies = [path for path in into.iterdir() if _COPY.fullmatch(path.name)]
        for path in sorted(copies, key=lambda path: path.stat().st_mtime, reverse=True)[COPIES_KEPT:]:
            remove_folder(path)
