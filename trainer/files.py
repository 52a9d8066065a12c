"""Write files of a run so that what was finished before is never damaged."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import TrainingError


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    Raises:
        TrainingError: It cannot be written, as on a full disk; what was at ``path`` is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise TrainingError(f"{path}: cannot be written ({error.strerror}); what was there before is intact") from error
