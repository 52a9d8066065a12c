"""From JPEG bytes to pictures on a device: guarded on the host, decoded there, all frames of a batch in one call.

What the device's decoder refuses, the CPU decodes; what nothing can decode is refused as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from common import jpeg
from common.errors import FrameRejectedError
from common.jpeg import JpegInfo
from workers.backends.torch_lane import Lane, Pieces, ran_out
from workers.backends.torch_pixels import Pixels, planes, resize_all, side_by_side, stacked
from workers.infer.vision.canvas import LONG_SIDE_PX
from workers.infer.vision.decoding import decode_frame, reduction
from workers.infer.vision.deviceframe import DeviceFrame
from workers.infer.vision.timing import StageTimer, no_timer

DECODE_PIECE = 128
"""Most frames in one call, which bounds the memory for pictures of full size."""
Hardware = Callable[[list[Pixels]], list[Pixels]]
"""Decodes files, each uint8 (L,) on the host, to uint8 (3, H, W) RGB on the device; all of them, or it raises."""


@dataclass(frozen=True, slots=True)
class DecodingNotes:
    """Who is told what.

    Attributes:
        timer: How long ``guard`` and ``decode`` of a frame took.
        fallback: How many frames the CPU had to decode.
    """

    timer: StageTimer = no_timer
    fallback: Callable[[int], None] = lambda _count: None


class DeviceDecoder:
    """A `workers.infer.vision.decoding.Decoder` for pipelines on a device.

    Args:
        lane: Where pictures go; nobody else uses it. Decoding engines write when they like, not when their stream's
            turn comes, so that nothing may be waiting on it when a batch begins.
        hardware: The device's decoder; None: the CPU decodes.
        threads: Frames that the CPU decodes at the same time.
        reduced: As `workers.infer.vision.decoding.decode_frame`.
        notes: Who is told what.
    """

    def __init__(
        self,
        lane: Lane,
        hardware: Hardware | None,
        threads: int = 2,
        *,
        reduced: bool = True,
        notes: DecodingNotes | None = None,
    ) -> None:
        self._lane = lane
        self._hardware = hardware
        self._reduced = reduced
        self._notes = notes or DecodingNotes()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._pieces = Pieces("decode", DECODE_PIECE, lane.free)

    def decode(
        self, frames: Sequence[bytes], long_sides: Sequence[int] | None = None
    ) -> list[DeviceFrame | FrameRejectedError]:
        """Decode each frame, or say why not; see `workers.infer.vision.decoding.Decoder`. All is done on return."""
        sides = long_sides or [LONG_SIDE_PX] * len(frames)
        began = perf_counter()
        guarded = [_inspected(data) for data in frames]
        looked = perf_counter()
        pieces = self._pieces.run(len(frames), lambda a, b: self._piece(frames[a:b], guarded[a:b], sides[a:b]))
        decoded = perf_counter()
        for _ in frames:
            self._notes.timer("guard", (looked - began) / len(frames))
            self._notes.timer("decode", (decoded - looked) / len(frames))
        return [one for piece in pieces for one in piece]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _piece(
        self, frames: Sequence[bytes], guarded: Sequence[JpegInfo | FrameRejectedError], sides: Sequence[int]
    ) -> list[DeviceFrame | FrameRejectedError]:
        infos = {slot: info for slot, info in enumerate(guarded) if isinstance(info, JpegInfo)}
        refused = {slot: info for slot, info in enumerate(guarded) if isinstance(info, FrameRejectedError)}
        with self._lane.entered():
            pictures = self._by_hardware(frames, infos, sides)
            left = [slot for slot in infos if slot not in pictures]
            by_cpu = self._pool.map(self._by_cpu, [frames[slot] for slot in left], [sides[slot] for slot in left])
            for slot, made in zip(left, by_cpu, strict=True):
                if isinstance(made, FrameRejectedError):
                    refused[slot] = made
                else:
                    pictures[slot] = planes(self._lane.to_device(made))
            self._lane.wait()
        if left:
            self._notes.fallback(len(left))
        return [
            refused[slot]
            if slot in refused
            else DeviceFrame(pictures[slot], infos[slot].width, infos[slot].height, self._lane, sides[slot])
            for slot in range(len(frames))
        ]

    def _by_hardware(
        self, frames: Sequence[bytes], infos: dict[int, JpegInfo], sides: Sequence[int]
    ) -> dict[int, Pixels]:
        if self._hardware is None or not infos:
            return {}
        files = self._staged([frames[slot] for slot in infos])
        made: dict[tuple[int, int, int], dict[int, Pixels]] = {}
        for slot, picture in zip(infos, self._tried(self._hardware, files), strict=True):
            # A decoder that reads another size than the guard did is not believed.
            if picture is not None and picture.shape == (3, infos[slot].height, infos[slot].width):
                width, height = infos[slot].width, infos[slot].height
                factor = reduction(width, height, sides[slot]) if self._reduced else 1
                made.setdefault((width, height, factor), {})[slot] = picture
        pictures: dict[int, Pixels] = {}
        for (width, height, factor), group in made.items():
            small = (-(-width // factor), -(-height // factor))
            together = resize_all(stacked(list(group.values())), small) if factor > 1 else list(group.values())
            pictures.update(zip(group, together, strict=True))
        return pictures

    def _staged(self, files: Sequence[bytes]) -> list[Pixels]:
        """Put files side by side into pinned memory, where copying engines can fetch them."""
        parts = side_by_side(self._lane.pinned(sum(map(len, files))), [len(data) for data in files])
        for part, data in zip(parts, files, strict=True):
            part.numpy()[:] = np.frombuffer(data, np.uint8)
        return parts

    def _tried(self, hardware: Hardware, files: list[Pixels]) -> list[Pixels | None]:
        """Decode files; where that fails, each half of them, down to the ones that are to blame: they give None."""
        try:
            return list(hardware(files))
        except RuntimeError as error:
            if ran_out(error):
                raise
            if len(files) == 1:
                return [None]
        middle = len(files) // 2
        return self._tried(hardware, files[:middle]) + self._tried(hardware, files[middle:])

    def _by_cpu(self, data: bytes, long_side_px: int) -> jpeg.Image | FrameRejectedError:
        try:
            return decode_frame(data, long_side_px, reduced=self._reduced).picture
        except FrameRejectedError as error:
            return error


def _inspected(data: bytes) -> JpegInfo | FrameRejectedError:
    try:
        return jpeg.inspect(data)
    except FrameRejectedError as error:
        return error
