"""From JPEG bytes to pictures: guarded first, decoded once, at the scale the detector needs, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

from common import jpeg
from common.errors import FrameRejectedError
from common.images import Picture
from workers.infer.vision.canvas import LONG_SIDE_PX, canvases_of
from workers.infer.vision.glance import ready_half
from workers.infer.vision.readable import Readable
from workers.infer.vision.timing import StageTimer, no_timer


class Decoder(Protocol):
    """Guards and decodes lists of frames. Used by one thread."""

    def decode(
        self, frames: Sequence[bytes], long_sides: Sequence[int] | None = None
    ) -> Sequence[Readable | FrameRejectedError]:
        """Decode each frame, or say why not; list in, list out, same order.

        Args:
            frames: JPEG files.
            long_sides: Long side of the canvas on which each frame's faces will be looked for, px; None: the usual one.
        """

    def close(self) -> None:
        """End the threads."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A picture and the size of the frame it came from.

    Attributes:
        picture: uint8, (H, W, 3), BGR; full size, or a half or quarter of it.
        width: Full width, px, by the JPEG's own header.
        height: Full height, px.
        long_side_px: Long side of the canvas on which faces are looked for, px.
        half: The picture at half its size, if it was made already.
    """

    picture: Picture
    width: int
    height: int
    long_side_px: int = LONG_SIDE_PX
    half: Picture | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Full (width, height), px."""
        return self.width, self.height

    @property
    def whole(self) -> bool:
        """Whether the picture is full size."""
        return bool(self.picture.shape[1] == self.width)


def decode_frame(
    data: bytes, long_side_px: int = LONG_SIDE_PX, *, reduced: bool = True, timer: StageTimer = no_timer
) -> DecodedFrame:
    """Guard and decode one JPEG.

    Args:
        data: The file's bytes.
        long_side_px: Long side of the canvas on which its faces will be looked for, px.
        reduced: Decode at a half or quarter where that leaves enough, see `reduction`.
        timer: Told how long ``guard`` and ``decode`` took.

    Raises:
        FrameRejectedError: It may not or could not be decoded.
    """
    began = perf_counter()
    info = jpeg.inspect(data)
    guarded = perf_counter()
    timer("guard", guarded - began)
    picture = jpeg.decode(data, reduction(info.width, info.height, long_side_px) if reduced else 1, info)
    timer("decode", perf_counter() - guarded)
    return DecodedFrame(picture, info.width, info.height, long_side_px)


def reduction(width: int, height: int, long_side_px: int = LONG_SIDE_PX) -> int:
    """Say by how much, 1, 2 or 4, a frame may shrink while decoding without falling below the canvas.

    On a canvas below the usual one the frame stays as large as for that: faces are cut out of it.
    """
    ratio = max(width, height) / max(long_side_px, LONG_SIDE_PX)
    return 4 if ratio >= 4 else 2 if ratio >= 2 else 1


class FrameDecoder:
    """Decodes lists of frames on a few threads; the decoder lets other threads run meanwhile.

    Args:
        threads: Frames decoded at the same time.
        reduced: See `decode_frame`.
        halved: Whether to make what a glance looks at while the picture is at hand, see `ready_half`.
        timer: See `decode_frame`, and ``resize``; called from several threads.
    """

    def __init__(
        self, threads: int = 2, *, reduced: bool = True, halved: bool = True, timer: StageTimer = no_timer
    ) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._reduced, self._halved = reduced, halved
        self._timer = timer

    def decode(
        self, frames: Sequence[bytes], long_sides: Sequence[int] | None = None
    ) -> list[DecodedFrame | FrameRejectedError]:
        """Decode each frame, or say why not; see `Decoder.decode`."""
        work = list(zip(frames, long_sides or [LONG_SIDE_PX] * len(frames), strict=True))
        # A job for each thread, not for each frame: to be woken for every single one costs 2 to 3 % of a core.
        shares = [work[first :: self._threads] for first in range(min(self._threads, len(work)))]
        done = list(self._pool.map(self._share, shares))
        return [done[slot % self._threads][slot // self._threads] for slot in range(len(work))]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _share(self, work: Sequence[tuple[bytes, int]]) -> list[DecodedFrame | FrameRejectedError]:
        return [self._one(data, long_side_px) for data, long_side_px in work]

    def _one(self, data: bytes, long_side_px: int) -> DecodedFrame | FrameRejectedError:
        try:
            frame = decode_frame(data, long_side_px, reduced=self._reduced, timer=self._timer)
        except FrameRejectedError as error:
            return error
        return self._with_half(frame) if self._halved else frame

    def _with_half(self, frame: DecodedFrame) -> DecodedFrame:
        began = perf_counter()
        half = ready_half(frame.picture, canvases_of(frame.long_side_px))
        if half is None:
            return frame
        self._timer("resize", perf_counter() - began)
        return replace(frame, half=half)
