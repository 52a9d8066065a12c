"""Decoding the detector's output, and the way pixels go in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.geometry import Letterbox
from common.images import crop, scale
from common.models.decode import MAX_CANDIDATES, decode, grid
from common.models.preprocess import choose_canvas, face_crops, letterbox

CANVAS = (96, 64)
POINTS = 12 * 8 + 6 * 4 + 3 * 2


def empty(batch: int = 1) -> np.ndarray:
    return np.zeros((batch, POINTS, 16), np.float32)


def test_the_grid_lists_strides_one_after_the_other_row_major() -> None:
    points = grid(CANVAS)
    assert points.shape == (POINTS, 3)
    assert points[:13].tolist()[0] == [0, 0, 8]
    assert points[12].tolist() == [0, 1, 8]
    assert points[96].tolist() == [0, 0, 16]
    assert points[-1].tolist() == [2, 1, 32]


def test_a_face_at_a_grid_point_becomes_its_box_and_landmarks() -> None:
    raw = empty()
    raw[0, 96 + 6 * 2 + 3, 0] = 0.9  # stride 16, column 3, row 2
    raw[0, 96 + 6 * 2 + 3, 1:5] = [0.5, -0.5, np.log(2), 0]
    raw[0, 96 + 6 * 2 + 3, 5:7] = [1, 0.25]
    (found,) = decode(raw, CANVAS, 0.5, 0.3)
    np.testing.assert_allclose(found.boxes, [[56 - 16, 24 - 8, 56 + 16, 24 + 8]], atol=1e-4)
    assert found.landmarks[0, 0].tolist() == [64, 36]
    assert found.landmarks.shape == (1, 5, 2)


def test_faces_below_the_threshold_are_left_out_and_overlaps_suppressed() -> None:
    raw = empty(2)
    raw[0, [0, 1, 50], 0] = [0.8, 0.9, 0.4]
    raw[0, :, 3:5] = 2.0
    first, second = decode(raw, CANVAS, 0.5, 0.3)
    assert first.scores.tolist() == [np.float32(0.9)]
    assert len(second.boxes) == 0


def test_a_network_gone_mad_gives_a_bounded_number_of_finite_boxes() -> None:
    raw = np.full((1, len(grid((640, 640))), 16), 1e9, np.float32)
    raw[0, ::3] = np.nan
    (found,) = decode(raw, (640, 640), 0.5, 0.99)
    assert len(found.boxes) <= MAX_CANDIDATES
    assert np.isfinite(found.boxes).all()


def test_raw_output_of_another_canvas_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(1, 126, 16\) where \(B, 504, 16\)"):
        decode(empty(), (192, 128), 0.5, 0.3)


@given(width=st.integers(16, 4096), height=st.integers(16, 4096))
def test_the_letterbox_keeps_the_picture_inside_and_carries_boxes_back(width: int, height: int) -> None:
    fit = Letterbox.fit((width, height), (640, 384))
    assert fit.width <= 640
    assert fit.height <= 384
    corner = fit.to_picture(np.array([fit.width, fit.height], np.float32))
    np.testing.assert_allclose(corner, [width, height], atol=2 / fit.scale)


def test_the_letterbox_writes_into_a_slot_of_a_batch_and_blackens_the_rest() -> None:
    batch = np.full((2, 64, 96, 3), 7, np.uint8)
    picture = np.full((64, 32, 3), 200, np.uint8)
    letterbox(picture, CANVAS, batch[1])
    assert (batch[0] == 7).all()
    assert (batch[1, :, :32] == 200).all()
    assert (batch[1, :, 32:] == 0).all()


@pytest.mark.parametrize(
    ("size", "canvas"),
    [((1280, 720), (640, 384)), ((1080, 1920), (384, 640)), ((640, 480), (640, 512)), ((500, 500), (640, 640))],
)
def test_the_canvas_fits_the_picture_with_the_least_area(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    canvases = ((640, 384), (384, 640), (640, 640), (640, 512), (960, 544), (320, 192))
    assert choose_canvas(size, canvases) == canvas


def test_crops_reach_outside_the_picture_in_black() -> None:
    picture = np.full((50, 50, 3), 255, np.uint8)
    (one,) = face_crops(picture, np.array([[-20.0, -20, 20, 20]]), 60, 0.25)
    assert one.shape == (60, 60, 3)
    assert (one[:28, :28] == 0).all()
    assert (one[32:, 32:] == 255).all()


def test_crops_centre_the_face() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[80:120, 60:100] = 255
    (one,) = face_crops(picture, np.array([[60.0, 80, 100, 120]]), 60, 0.25)
    assert (one[12:48, 12:48] == 255).all()
    assert one[:8].max() == 0


@given(box=st.tuples(*[st.floats(-500, 500)] * 2), side=st.floats(0, 900))
def test_any_crop_has_its_fixed_side(box: tuple[float, float], side: float) -> None:
    picture = np.full((90, 120, 3), 9, np.uint8)
    square = np.array([box[0], box[1], box[0] + side, box[1] + side], np.float32)
    assert crop(picture, square, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("length", [40, 96, 150, 211, 300])
def test_a_crop_is_scaled_as_whole_pictures_are(length: int) -> None:
    picture = np.random.default_rng(length).integers(0, 256, (320, 330, 3), np.uint8)
    square = np.array([10, 20, 10 + length, 20 + length], np.float32)
    whole = scale(np.ascontiguousarray(picture[20 : 20 + length, 10 : 10 + length]), (96, 96))
    assert np.array_equal(crop(picture, square, 96), whole)


@pytest.mark.parametrize("corner", [-900.0, -30.0, 20.0])
def test_a_crop_fills_its_slot_whatever_lay_there(corner: float) -> None:
    picture = np.full((90, 120, 3), 9, np.uint8)
    square = np.array([corner, corner, corner + 60, corner + 60], np.float32)
    batch = np.full((3, 32, 32, 3), 7, np.uint8)
    crop(picture, square, 32, batch[1])
    assert np.array_equal(batch[1], crop(picture, square, 32))
    assert set(np.unique(batch[1])) <= {0, 9}
    assert (batch[[0, 2]] == 7).all()


def test_no_faces_give_no_crops() -> None:
    assert face_crops(np.zeros((10, 10, 3), np.uint8), np.zeros((0, 4)), 32, 0.25).shape == (0, 32, 32, 3)
