"""What every source of pictures has in common, and the choice of one by a camera's URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from common.advice import nearest
from common.errors import NotAVideoError, SourceUnreachableError
from common.siteplan import Camera

Image = NDArray[np.uint8]

SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "webcam", "synthetic")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One picture of a source; at least one of ``image`` and ``jpeg`` is there.

    Attributes:
        captured_at: When it was taken, s since the epoch. For a source that is read faster or slower than its own
            time, the time of its opening plus the picture's place in the recording.
        width: px.
        height: px.
        image: uint8, (H, W, 3), BGR; or None.
        jpeg: The picture as the camera itself encoded it, passed on undecoded; or None.
    """

    captured_at: float
    width: int
    height: int
    image: Image | None = None
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source is read.

    Attributes:
        fps: Frames a second to deliver, at most; a source that is fed faster leaves frames out evenly.
        width: Frames wider than this many px will be scaled down later; a source may use it to decode less.
        loop: Start a finite source again at its end.
        realtime: Deliver a finite source at its own speed, else as fast as it is read.
        open_timeout_s: How long opening may take, s.
        read_timeout_s: Silence after which a connection counts as broken, s.
    """

    fps: float = 5.0
    width: int = 1280
    loop: bool = False
    realtime: bool = True
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0


class FrameSource(Protocol):
    """A source of pictures. Opened by its constructor, used by one thread, closed by that same thread.

    Attributes:
        live: True where pictures come whether they are read or not, so that an unread one grows old and is better
            replaced by the next; False where the source waits for its reader and no picture may be left out.
    """

    live: bool

    def read(self) -> SourceFrame | None:
        """Wait for the next picture, at most about a second; None when there is none yet.

        Raises:
            SourceUnreachableError: The connection broke; close this source and open another.
            NotAVideoError: What came is no picture; as above.
            SourceEndedError: The last picture was delivered; nothing follows.
            FrameRejectedError: This one picture is broken; the next may be read.
        """

    def close(self) -> None:
        """Give everything back; may be called twice."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came to a source since it was last asked.

    Attributes:
        frames: Wanted pictures, oldest first.
        broken: How many others cannot be read.
        drained: Whether nothing is left that had come before.
    """

    frames: tuple[SourceFrame, ...] = ()
    broken: int = 0
    drained: bool = True


@runtime_checkable
class ArrivingSource(FrameSource, Protocol):
    """A live source whose pictures arrive at a socket, so that one thread can wait for many of them."""

    @property
    def shareable(self) -> bool:
        """Whether the next picture will cost little more than reading it.

        Where not, `read` it in a thread of its own; each way goes on where the other ended.
        """

    def fileno(self) -> int:
        """Give the descriptor that becomes readable once it is worth asking."""

    def arrived(self, buffer: memoryview) -> Arrivals:
        """Take what has come, without waiting.

        Args:
            buffer: Room for what is read; it may be used for something else afterwards.

        Raises:
            SourceUnreachableError: The connection broke; close this source and open another.
            NotAVideoError: What came is no picture; as above.
        """


def settings_of(camera: Camera, *, open_timeout_s: float = 5.0, read_timeout_s: float = 5.0) -> SourceSettings:
    """Take from a camera's plan what its source needs to know."""
    return SourceSettings(camera.fps, camera.width, camera.loop, camera.realtime, open_timeout_s, read_timeout_s)


def open_source(camera: Camera, settings: SourceSettings | None = None) -> FrameSource:
    """Open a camera's source; which kind it is, its URL says, and for HTTP the server's Content-Type.

    Args:
        camera: Its part of the site plan.
        settings: How to read it; None takes them from the plan.

    Raises:
        SourceUnreachableError: Nothing answers there, or the URL is of no kind we know.
        NotAVideoError: Something is there, but no picture comes out of it.
    """
    settings = settings or settings_of(camera)
    scheme, colon, rest = camera.source.partition(":")
    scheme = scheme.lower()
    if not colon or len(scheme) == 1:
        return _open_path(Path(camera.source), settings)
    if scheme == "synthetic":
        from producers.sources.synthetic import SyntheticSource

        return SyntheticSource(rest, settings)
    if scheme == "file":
        return _open_path(Path(urlsplit(camera.source).path), settings)
    if scheme in ("http", "https"):
        return _open_http(camera.source, settings)
    if scheme in ("rtsp", "rtsps", "webcam"):
        return _open_live(scheme, camera.source, settings)
    if Path(camera.source).exists():
        return _open_path(Path(camera.source), settings)
    raise SourceUnreachableError(f"source: no kind of source is called '{scheme}:'{nearest(scheme, SCHEMES)}")


def _open_path(path: Path, settings: SourceSettings) -> FrameSource:
    if path.is_dir():
        from producers.sources.images import FolderSource

        return FolderSource(path, settings)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        from producers.sources.images import FolderSource

        return FolderSource(path, settings)
    from producers.sources.video import FileSource

    return FileSource(path, settings)


def _open_http(url: str, settings: SourceSettings) -> FrameSource:
    from producers.sources.mjpeg import MjpegSource, open_http
    from producers.sources.video import open_remote

    answer = open_http(url, settings)
    if answer.multipart:
        return MjpegSource(answer, settings)
    answer.close()
    if answer.text:
        raise NotAVideoError("source: what answers there is a page of text, no video")
    return open_remote(url, settings)


def _open_live(scheme: str, source: str, settings: SourceSettings) -> FrameSource:
    from producers.sources.video import StreamSource, WebcamSource

    if scheme == "webcam":
        return WebcamSource(source.partition(":")[2], settings)
    return StreamSource(source, settings)
