"""What test cameras show: a short scene that is drawn, and its encodings."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
SIZE = (320, 240)
ROUND = 24


@cache
def pictures(kind: str = "play", size: tuple[int, int] = SIZE) -> tuple[Picture, ...]:
    """Draw a short scene: a bright square wanders over a grainy wall (``play``), or hardly any light (``dark``)."""
    noise = np.random.default_rng(7)
    width, height = size
    wall = noise.integers(60, 200, (height // 4, width // 4, 3), np.uint8)
    wall = np.asarray(cv2.resize(wall, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    drawn = []
    for number in range(ROUND):
        if kind == "dark":
            drawn.append(noise.integers(0, 6, (height, width, 3), np.uint8))
            continue
        picture = wall.copy()
        left = round((width - 60) * number / ROUND)
        picture[60:120, left : left + 60] = 255
        drawn.append(picture)
    return tuple(drawn)


@cache
def jpegs(kind: str = "play", size: tuple[int, int] = SIZE) -> tuple[bytes, ...]:
    """Encode the scene as JPEGs."""
    return tuple(cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures(kind, size))


@cache
def access_units(kind: str = "play") -> tuple[tuple[bytes, ...], ...]:
    """Encode the scene as H.264, every picture a key frame, each as its NAL units (without start codes)."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = SIZE
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 15), Fraction(15)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "g": "1", "repeat-headers": "1"}
    encoder.thread_count = 1
    units = []
    for number, picture in enumerate(pictures(kind)):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        units += [split_annex_b(bytes(packet)) for packet in encoder.encode(frame)]
    units += [split_annex_b(bytes(packet)) for packet in encoder.encode(None)]
    return tuple(units)


def split_annex_b(data: bytes) -> tuple[bytes, ...]:
    """Split a byte stream at its start codes (00 00 01)."""
    return tuple(unit.rstrip(b"\x00") for unit in data.split(b"\x00\x00\x01") if unit.strip(b"\x00"))


def write_video(path: Path, seconds: float = 2.0, fps: int = 15, kind: str = "play") -> Path:
    """Write the scene as an MP4 that can be played from its beginning."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(pictures(kind)[number % ROUND], format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
