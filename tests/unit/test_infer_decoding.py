"""Guarding and decoding lists of frames."""

from __future__ import annotations

import numpy as np
import pytest

from common import jpeg
from common.errors import FrameRejectedError
from common.images import halve
from workers.infer.vision.decoding import DecodedFrame, FrameDecoder, decode_frame, reduction


def a_jpeg(width: int, height: int) -> bytes:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    return jpeg.encode(np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("size", "by"),
    [
        ((640, 360), 1),
        ((1279, 719), 1),  # a half would be below the canvas
        ((1280, 720), 2),
        ((720, 1280), 2),  # the long side counts
        ((1920, 1080), 2),
        ((2560, 1440), 4),
        ((4096, 4096), 4),
    ],
)
def test_a_frame_never_shrinks_below_the_canvas(size: tuple[int, int], by: int) -> None:
    assert reduction(*size) == by


@pytest.mark.parametrize(
    ("width", "long_side_px", "by"),
    [
        (1280, 320, 2),  # faces are cut out of it, and must not be smaller than usual
        (2560, 320, 4),
        (1280, 960, 1),  # a half would be below the canvas
        (1920, 960, 2),
        (3840, 960, 4),
    ],
)
def test_a_camera_s_own_canvas_counts_where_it_is_the_larger_one(width: int, long_side_px: int, by: int) -> None:
    assert reduction(width, 720, long_side_px) == by
    assert decode_frame(a_jpeg(width, 64), long_side_px).picture.shape[1] == width // by


def test_each_frame_of_a_list_has_a_canvas_of_its_own() -> None:
    decoder = FrameDecoder(2)
    answers = decoder.decode([a_jpeg(1280, 64), a_jpeg(1280, 64)], [960, 320])
    decoder.close()
    assert [(a.picture.shape[1], a.long_side_px) for a in answers if isinstance(a, DecodedFrame)] == [
        (1280, 960),
        (640, 320),
    ]


def test_a_reduced_frame_remembers_its_full_size() -> None:
    decoded = decode_frame(a_jpeg(1281, 721))
    assert decoded.size == (1281, 721)
    assert decoded.picture.shape == (361, 641, 3)
    assert decode_frame(a_jpeg(1281, 721), reduced=False).picture.shape == (721, 1281, 3)


@pytest.mark.parametrize(
    ("size", "long_side_px", "halved"),
    [
        ((1280, 720), 640, True),
        ((640, 480), 640, True),
        ((1280, 722), 640, True),  # 361 rows: the last one is halved together with black
        ((1920, 1080), 640, False),  # 960x540 px, to be scaled first
        ((1280, 720), 320, False),  # too small a canvas to be glanced at
        ((1280, 720), 1280, True),
    ],
)
def test_what_will_be_glanced_at_is_made_while_the_picture_is_at_hand(
    size: tuple[int, int], long_side_px: int, halved: bool
) -> None:
    stages: list[str] = []
    decoder = FrameDecoder(1, timer=lambda stage, _seconds: stages.append(stage))
    (frame,) = decoder.decode([a_jpeg(*size)], [long_side_px])
    decoder.close()
    assert isinstance(frame, DecodedFrame)
    assert (frame.half is not None) == halved == ("resize" in stages)
    assert frame.half is None or np.array_equal(frame.half, halve(frame.picture))


def test_nothing_is_halved_where_nobody_glances() -> None:
    decoder = FrameDecoder(1, halved=False)
    (frame,) = decoder.decode([a_jpeg(1280, 720)])
    decoder.close()
    assert isinstance(frame, DecodedFrame)
    assert frame.half is None


def test_each_frame_of_a_list_is_decoded_or_refused_in_its_place() -> None:
    stages: list[str] = []
    decoder = FrameDecoder(2, timer=lambda stage, _seconds: stages.append(stage))
    answers = decoder.decode([a_jpeg(320, 192), b"no picture", a_jpeg(64, 48), a_jpeg(320, 192)[:200]])
    assert decoder.decode([]) == []
    decoder.close()
    kinds = [a.reason if isinstance(a, FrameRejectedError) else a.size for a in answers]
    assert kinds == [(320, 192), "magic", (64, 48), kinds[3]]
    assert kinds[3] in ("truncated", "header")
    assert isinstance(answers[0], DecodedFrame)
    assert sorted(set(stages)) == ["decode", "guard"]
