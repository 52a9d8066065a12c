"""JPEG bytes at the border: judged from their headers before any decoder sees them, then decoded or made.

The header walk follows ITU-T T.81, annex B (markers SOI, SOFn, SOS). It exists because a few hundred bytes can claim
30,000 × 30,000 pixels, and because OpenCV would also decode PNG, WebP, TIFF and JPEG 2000, whose decoders we do
not want on a network port.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from common.errors import FrameRejectedError

# OpenCV reads both when it is first imported: a second wall behind the header guard, and silence for FFmpeg, whose own
# log lines may hold a camera's URL with its password.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 24))
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
import cv2

Image = NDArray[np.uint8]

_COLOUR = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}

MAX_BYTES = 4 << 20
MIN_SIDE_PX, MAX_SIDE_PX, MAX_PIXELS = 16, 4096, 1 << 24
_TAIL_BYTES = 64
"""The end marker must be among the last ones; some cameras send a few more behind it."""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SOF_OTHER = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})


@dataclass(frozen=True, slots=True)
class JpegInfo:
    """What the header says.

    Attributes:
        width: px.
        height: px.
        components: 1 (grey) or 3 (colour).
    """

    width: int
    height: int
    components: int


def inspect(data: bytes | memoryview) -> JpegInfo:
    """Read a JPEG's size from its header and refuse what we do not decode, in microseconds and without allocating.

    Args:
        data: The whole file, at most 4 MiB.

    Raises:
        FrameRejectedError: Empty, too large, no JPEG, a broken header, sides outside 16–4096 px, more than 16 Mpx,
            neither grey nor colour, neither baseline nor progressive, or cut off before its end marker.
    """
    return _judged(memoryview(data))[0]


class Inspector:
    """Inspects the JPEGs of one camera: most send the same header with every picture, and it is read only once."""

    def __init__(self) -> None:
        self._head = b""
        self._info = JpegInfo(0, 0, 0)

    def inspect(self, data: bytes) -> JpegInfo:
        """Do what `inspect` does."""
        if self._head and data.startswith(self._head) and len(data) <= MAX_BYTES:
            if data.find(b"\xff\xd9", max(0, len(data) - _TAIL_BYTES)) < 0:
                raise FrameRejectedError("truncated", "no end marker")
            return self._info
        self._info, end = _judged(memoryview(data))
        self._head = data[:end]
        return self._info


def _judged(view: memoryview) -> tuple[JpegInfo, int]:
    """Inspect a JPEG, and say where the part ends from which its size is known."""
    if not view.nbytes:
        raise FrameRejectedError("empty", "no bytes")
    if view.nbytes > MAX_BYTES:
        raise FrameRejectedError("too_big", f"{view.nbytes} bytes, at most {MAX_BYTES}")
    if bytes(view[:3]) != b"\xff\xd8\xff":
        raise FrameRejectedError("magic", "does not start like a JPEG")
    info, end = _frame_header(view)
    if not (MIN_SIDE_PX <= info.width <= MAX_SIDE_PX and MIN_SIDE_PX <= info.height <= MAX_SIDE_PX):
        raise FrameRejectedError("dimensions", f"{info.width}x{info.height}, sides must be 16 to 4096")
    if info.width * info.height > MAX_PIXELS:
        raise FrameRejectedError("dimensions", f"{info.width}x{info.height} has more than 16 Mpx")
    if info.components not in (1, 3):
        raise FrameRejectedError("components", f"{info.components} components, must be 1 or 3")
    if b"\xff\xd9" not in bytes(view[-_TAIL_BYTES:]):
        raise FrameRejectedError("truncated", "no end marker")
    return info, end


def _frame_header(view: memoryview) -> tuple[JpegInfo, int]:
    position = 2
    while position + 4 <= view.nbytes:
        if view[position] != 0xFF:
            break
        marker = view[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", view, position + 2)
        if marker in _SOF_OTHER:
            raise FrameRejectedError("process", f"coding process SOF{marker - 0xC0} is not baseline or progressive")
        if marker in (0xC0, 0xC1, 0xC2):
            return _size(view, position, length), position + 10
        if marker in (0xD9, 0xDA) or length < 2:
            break
        position += 2 + length
    raise FrameRejectedError("header", "no frame header before the picture data")


def _size(view: memoryview, position: int, length: int) -> JpegInfo:
    if length < 8 or position + 10 > view.nbytes:
        raise FrameRejectedError("header", "frame header is cut off")
    precision, height, width, components = struct.unpack_from(">BHHB", view, position + 4)
    if precision != 8:
        raise FrameRejectedError("process", f"{precision} bits a sample, must be 8")
    return JpegInfo(width, height, components)


def decode(data: bytes | memoryview, reduce: int = 1, info: JpegInfo | None = None) -> Image:
    """Decode an inspected JPEG, optionally at a half, quarter or eighth of its size, which costs less.

    Args:
        data: A JPEG that `inspect` let pass.
        reduce: 1, 2, 4 or 8.
        info: What `inspect` said, where it is at hand; it is read again otherwise.

    Returns:
        uint8, (H, W, 3), BGR; sides are the header's divided by ``reduce``, rounded up. EXIF orientation is ignored.

    Raises:
        FrameRejectedError: The decoder could not make a picture of it.
    """
    return _decoded(data, "BGR", _least(data, reduce, info), _COLOUR[reduce])


def decode_grey(data: bytes | memoryview, reduce: int = 1) -> Image:
    """Decode only the brightness of an inspected JPEG, as `decode` does otherwise; its colours are not worked out.

    Returns:
        uint8, (H, W).

    Raises:
        FrameRejectedError: The decoder could not make a picture of it.
    """
    grey = _decoded(data, "GRAY", _least(data, reduce, None), _GREY[reduce])
    return grey.reshape(grey.shape[:2])


def encode(image: Image, quality: int = 80) -> bytes:
    """Make a JPEG of uint8, (H, W, 3), BGR, at a quality of 1–100."""
    done, buffer = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise FrameRejectedError("decode", f"no JPEG could be made of a {image.shape} picture")
    return buffer.tobytes()


def _least(data: bytes | memoryview, reduce: int, info: JpegInfo | None) -> tuple[int, int]:
    """Give the (width, height), px, at which to decode; 0, 0 for full size."""
    if reduce == 1:
        return 0, 0
    info = info or _frame_header(memoryview(data))[0]
    return -(-info.width // reduce), -(-info.height // reduce)


def _decoded(data: bytes | memoryview, colours: str, least: tuple[int, int], flags: int) -> Image:
    try:
        picture = simplejpeg.decode_jpeg(data, colours, min_width=least[0], min_height=least[1], strict=False)
    except ValueError:
        return _decoded_patiently(data, flags)
    return np.asarray(picture, np.uint8)


def _decoded_patiently(data: bytes | memoryview, flags: int) -> Image:
    """Decode what some cameras send: bytes too many between markers, unusual shares of colour."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameRejectedError("decode", f"decoder refused it: {error.code}") from error
    if image is None:
        raise FrameRejectedError("decode", "decoder made no picture of it")
    return np.asarray(image, np.uint8)
