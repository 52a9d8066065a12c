"""Pictures and annotated videos as files: read for a look, written for people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from common.errors import ConfigError, FrameRejectedError
from common.images import Picture, resize

MAX_FILE_BYTES = 64 << 20
VIDEO_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def read_picture(path: Path) -> Picture:
    """Read a picture of any usual kind, turned the way its camera says.

    Args:
        path: JPEG, PNG, BMP or WebP of at most 64 MiB and 16 Mpx.

    Returns:
        uint8, (H, W, 3), BGR.

    Raises:
        FrameRejectedError: It cannot be read or is no picture.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise FrameRejectedError("too_big", f"larger than {MAX_FILE_BYTES >> 20} MiB")
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise FrameRejectedError("empty", error.strerror or "cannot be read") from error
    if not data.size:
        raise FrameRejectedError("empty", "the file is empty")
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FrameRejectedError("decode", "no picture, or one of more than 16 Mpx") from error
    if picture is None:
        raise FrameRejectedError("decode", "no picture, or a truncated one")
    return np.asarray(picture, np.uint8)


def write_picture(path: Path, picture: Picture) -> None:
    """Write uint8, (H, W, 3), BGR; the suffix says as what.

    Raises:
        ConfigError: It cannot be written there, or not as that.
    """
    try:
        done, data = cv2.imencode(path.suffix or ".jpg", picture)
    except cv2.error as error:
        raise ConfigError(f"--out: {path}: cannot write pictures of this kind") from error
    if not done:
        raise ConfigError(f"--out: {path}: the picture could not be encoded")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ConfigError(f"--out: {path}: cannot be written ({error.strerror})") from error


class VideoFile:
    """Writes pictures with their times into a video of even speed; a picture stays until the next one's time.

    Args:
        path: Ends in ``.mp4`` or ``.avi``; an existing file is replaced.
        fps: Pictures a second in the file.

    Raises:
        ConfigError: Another suffix, or a folder that is not there; nothing was written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in VIDEO_CODECS:
            raise ConfigError(f"--out: {path}: must end in {' or '.join(VIDEO_CODECS)}")
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"--out: {path}: there is no folder {path.absolute().parent}")
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._started_at = 0.0
        self._written = 0
        self._last: Picture | None = None

    def add(self, picture: Picture, at: float) -> None:
        """Add a picture.

        Args:
            picture: uint8, (H, W, 3), BGR; one of another size than the first is scaled to it.
            at: Its time, s; not before that of the picture before.

        Raises:
            ConfigError: The file cannot be written.
        """
        if self._writer is None:
            self._open(picture, at)
        place = max(self._written, round((at - self._started_at) * self._fps))
        fitting = resize(picture, self._size)
        if self._writer is not None:
            for _ in range(place - self._written):
                self._writer.write(self._last if self._last is not None else fitting)
            self._writer.write(fitting)
        self._written, self._last = place + 1, fitting

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _open(self, picture: Picture, at: float) -> None:
        # The codecs work on 2×2 pixels of colour.
        self._size = (picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2)
        codec = cv2.VideoWriter.fourcc(*VIDEO_CODECS[self._path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
        self._started_at = at
        if not self._writer.isOpened():
            self._writer = None
            raise ConfigError(f"--out: {self._path}: cannot be written")
