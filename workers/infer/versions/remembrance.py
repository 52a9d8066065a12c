"""What a worker served last, kept beside its copies of versions, for a start while the registry is away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from common.errors import RegistryUnwritableError, VersionRefusedError
from common.models.durable import replace_file
from common.models.manifest import MANIFEST_NAME
from common.models.records import ref_data, ref_of
from workers.infer.versions.serving import Choice

UNUSED_S = 86_400.0
"""A copy that no worker used for so long, s, is removed."""
_MAX_BYTES = 4096


class Remembrance:
    """The cache of versions as seen by its user; where it cannot be written, nothing is remembered.

    Args:
        folder: The cache of versions; several workers of a machine may share it.
        prefix: The installation's, so that two do not remember for one another.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._path = folder / f"last-{prefix}.json"

    def save(self, choice: Choice) -> None:
        """Remember what serves now."""
        record = {
            "generation": choice.generation,
            "detector": ref_data(choice.detector),
            "classifier": ref_data(choice.classifier),
        }
        with contextlib.suppress(RegistryUnwritableError, OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(record).encode())

    def load(self) -> Choice | None:
        """Give what served last; None where that is not known."""
        try:
            with self._path.open("rb") as file:
                record = json.loads(file.read(_MAX_BYTES))
            return Choice(int(record["generation"]), ref_of(record["detector"]), ref_of(record["classifier"]))
        except (OSError, ValueError, KeyError, TypeError, VersionRefusedError):
            return None

    def tidy(self, used: Choice, now: float) -> None:
        """Mark the copies in use and remove those that nobody marked for a day. ``now``: s since the epoch."""
        with contextlib.suppress(OSError):
            os.utime(self._folder, (now, now))
            for ref in used.refs:
                os.utime(self._folder / ref.folder, (now, now))
            for copy in self._folder.iterdir():
                if (copy / MANIFEST_NAME).is_file() and now - copy.stat().st_mtime > UNUSED_S:
                    shutil.rmtree(copy, ignore_errors=True)
