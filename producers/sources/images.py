"""A folder of pictures, or a single one, shown one after the other."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np

from common.errors import FrameRejectedError, NotAVideoError, SourceEndedError, SourceUnreachableError
from producers.sources.mjpeg import frame_of
from producers.sources.source import PICTURE_SUFFIXES, SourceFrame, SourceSettings

_PATIENCE_S = 0.5
_MAX_FILE_BYTES = 64 << 20


class FolderSource:
    """Shows the pictures of a folder in the order of their names, ``fps`` a second, once or in a loop.

    Args:
        path: Folder, or one picture.
        settings: How to read it.

    Raises:
        SourceUnreachableError: There is nothing.
        NotAVideoError: A folder without pictures.
    """

    live = False

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        try:
            self._files = sorted(entry for entry in path.iterdir() if _is_picture(entry)) if path.is_dir() else [path]
        except OSError as error:
            raise SourceUnreachableError(f"source: {path}: {error.strerror}") from error
        if not path.exists():
            raise SourceUnreachableError(f"source: there is no file {path}")
        if not self._files:
            kinds = ", ".join(sorted(PICTURE_SUFFIXES))
            raise NotAVideoError(f"source: no pictures in {path}; looked for {kinds}")
        self._settings = settings
        self._quiet = threading.Event()  # never set: waiting on it is a pause
        self._next = 0
        self._shown = 0
        self._started_at = time.time()

    def read(self) -> SourceFrame | None:
        """Give the next picture when its time has come; see `FrameSource`."""
        if self._next == len(self._files):
            if not self._settings.loop:
                raise SourceEndedError("all pictures were shown")
            self._next = 0
        at = self._started_at + self._shown / self._settings.fps
        if self._settings.realtime:
            early_s = at - time.time()
            if early_s > 0:
                self._quiet.wait(min(early_s, _PATIENCE_S))
                if early_s > _PATIENCE_S:
                    return None
            at = time.time()
        file = self._files[self._next]
        self._next += 1
        self._shown += 1
        return _read_picture(file, at, self._settings.width)

    def close(self) -> None:
        """Hold nothing, so give nothing back."""


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def _read_picture(path: Path, at: float, width: int) -> SourceFrame:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise FrameRejectedError("too_big", f"{path.name}: larger than {_MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise FrameRejectedError("empty", f"{path.name}: {error.strerror}") from error
    try:
        return frame_of(data, at, width)
    except FrameRejectedError as error:
        if error.reason not in ("magic", "too_big", "dimensions", "components"):
            raise
    return _decode_any(data, path.name, at)


def _decode_any(data: bytes, name: str, at: float) -> SourceFrame:
    """Decode what is no JPEG for the wire; the operator's own files need not meet the limits of strangers' bytes."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise FrameRejectedError("decode", f"{name}: the decoder refused it") from error
    if image is None or min(image.shape[:2]) < 1:
        raise FrameRejectedError("decode", f"{name}: the decoder made no picture of it")
    return SourceFrame(at, image.shape[1], image.shape[0], np.asarray(image, np.uint8))
