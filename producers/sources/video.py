"""Video through OpenCV's FFmpeg: RTSP and other live streams, files here or behind HTTP, and webcams."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from common.errors import NotAVideoError, SourceEndedError, SourceUnreachableError
from producers.pacing import Pacer
from producers.sources.source import FrameSource, Image, SourceFrame, SourceSettings

_PATIENCE_S = 0.5  # how long one read may keep its caller
_SLIP_S = 1.0  # a file that lags further behind than this gives up catching up
_ALMOST_ALL = 0.9  # of the frames that a remote file announces: less is a broken connection, not an end
_USUAL_FPS = 25.0
_HEAD_BYTES = 2048
_TEXT = bytes([7, 8, 9, 10, 12, 13, 27, *range(0x20, 0x100)])

# A camera that is away is told of once, by us.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


class StreamSource:
    """A live stream such as RTSP (over TCP first); every picture is taken off the wire, so none ages there."""

    live = True

    def __init__(self, url: str, settings: SourceSettings) -> None:
        self._capture = _open(url, settings)
        self._pacer = Pacer(settings.fps)
        if not self._capture.isOpened():
            self.close()
            raise SourceUnreachableError("source: no video stream answers there")

    def read(self) -> SourceFrame | None:
        """Wait for the next wanted picture; see `FrameSource`."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if not self._capture.grab():
                raise SourceUnreachableError("source: the stream broke off or fell silent")
            now = time.time()
            if self._pacer.keep(now):
                return _retrieve(self._capture, now)
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._capture.release()


class WebcamSource(StreamSource):
    """A camera of this machine, by its number."""

    def __init__(self, number: str, settings: SourceSettings) -> None:
        if not number.isdecimal():
            raise SourceUnreachableError(f"source: webcam:{number}: the part after 'webcam:' must be a number")
        self._capture = cv2.VideoCapture(int(number))
        self._pacer = Pacer(settings.fps)
        if not self._capture.isOpened():
            self.close()
            raise SourceUnreachableError(f"source: there is no webcam {number}, or another program holds it")


class FileSource:
    """A recording: once or in a loop, at its own speed (then `live`) or as fast as it is read.

    Args:
        origin: Path, or HTTP URL.
        settings: How to read it.

    Raises:
        SourceUnreachableError: There is no such file.
        NotAVideoError: It holds no picture.
    """

    def __init__(self, origin: Path | str, settings: SourceSettings) -> None:
        if isinstance(origin, Path) and not origin.is_file():
            raise SourceUnreachableError(f"source: there is no file {origin}")
        if isinstance(origin, Path) and _is_text(origin):
            raise NotAVideoError(f"source: {origin.name} holds text, no video")
        self.live = settings.realtime
        self._origin = str(origin)
        self._remote = isinstance(origin, str)
        self._settings = settings
        self._pacer = Pacer(settings.fps)
        self._quiet = threading.Event()  # never set: waiting on it is a pause
        self._capture = _open(self._origin, settings)
        self._grabbed = self._capture.isOpened() and bool(self._capture.grab())
        if not self._grabbed or self._capture.get(cv2.CAP_PROP_FRAME_WIDTH) < 1:
            self.close()
            raise NotAVideoError(f"source: {Path(self._origin).name} holds no video that can be read")
        self._period_s = 1.0 / _frame_rate(self._capture)
        self._frames = 1
        self._round_starts_s = 0.0
        self._media_s = 0.0
        self._wanted = self._pacer.keep(0.0)
        self._started_at = time.time()

    def read(self) -> SourceFrame | None:
        """Give the next wanted picture, at its time where `live`; see `FrameSource`."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if not self._wanted:
                self._advance()
                continue
            if self.live and not self._wait_until_due(deadline):
                return None
            self._wanted = False
            return _retrieve(self._capture, self._started_at + self._media_s)
        return None

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _advance(self) -> None:
        if not self._capture.grab():
            self._end_round()
        else:
            self._frames += 1
            at = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            expected = self._media_s + self._period_s
            seen = self._round_starts_s + at
            # Some containers give no times, or times that jump; a frame is never placed before the one it follows.
            self._media_s = seen if self._media_s < seen < expected + 10 else expected
        self._wanted = self._pacer.keep(self._media_s)

    def _end_round(self) -> None:
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if self._remote and self._frames < _ALMOST_ALL * announced:
            raise SourceUnreachableError("source: the connection broke in the middle of the recording")
        if not self._settings.loop:
            raise SourceEndedError("the recording is at its end")
        self._capture.release()
        self._capture = _open(self._origin, self._settings)
        if not self._capture.isOpened() or not self._capture.grab():
            raise SourceUnreachableError("source: the recording cannot be opened again")
        self._frames = 1
        self._media_s += self._period_s
        self._round_starts_s = self._media_s

    def _wait_until_due(self, deadline: float) -> bool:
        early_s = self._started_at + self._media_s - time.time()
        if early_s < -_SLIP_S:
            self._started_at -= early_s
            return True
        if early_s <= 0:
            return True
        self._quiet.wait(min(early_s, max(0.0, deadline - time.monotonic())))
        return self._started_at + self._media_s <= time.time()


def open_remote(url: str, settings: SourceSettings) -> FrameSource:
    """Open video behind HTTP: a recording where it has a length, else a live stream.

    Raises:
        NotAVideoError: What is there is no video.
    """
    probe = _open(url, settings)
    finite = probe.isOpened() and probe.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    answered = probe.isOpened()
    probe.release()
    if not answered:
        raise NotAVideoError("source: something answers there, but it is no video")
    return FileSource(url, settings) if finite else StreamSource(url, settings)


def _is_text(path: Path) -> bool:
    """FFmpeg would draw plain text as a picture, and follow the addresses in a playlist."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise SourceUnreachableError(f"source: {path}: {error.strerror}") from error
    return not head.translate(None, _TEXT)


def _open(origin: str, settings: SourceSettings) -> cv2.VideoCapture:
    options = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        round(1000 * settings.open_timeout_s),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        round(1000 * settings.read_timeout_s),
        cv2.CAP_PROP_N_THREADS,
        1,  # each decoding thread more holds one picture back
    ]
    return cv2.VideoCapture(origin, cv2.CAP_FFMPEG, options)


def _retrieve(capture: cv2.VideoCapture, at: float) -> SourceFrame | None:
    done, picture = capture.retrieve()
    if not done or picture is None or picture.ndim != 3:
        return None
    image: Image = np.asarray(picture, np.uint8)
    return SourceFrame(at, image.shape[1], image.shape[0], image)


def _frame_rate(capture: cv2.VideoCapture) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if math.isfinite(rate) and 0.1 <= rate <= 240 else _USUAL_FPS
