"""Boxes and the letterbox, as tables with the empty case, and round trips as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.geometry import Letterbox, iou_matrix, square_around, suppress_overlaps


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([[0, 0, 10, 10]], [[0, 0, 10, 10]], [[1.0]]),
        ([[0, 0, 10, 10]], [[5, 0, 15, 10]], [[1 / 3]]),
        ([[0, 0, 10, 10]], [[20, 20, 30, 30]], [[0.0]]),
        ([[5, 5, 5, 5]], [[5, 5, 5, 5]], [[0.0]]),  # empty boxes do not overlap
        ([[0, 0, 4, 4]], np.empty((0, 4)), np.empty((1, 0))),
    ],
)
def test_overlap(a: list[list[float]], b: list[list[float]], expected: list[list[float]]) -> None:
    assert np.allclose(iou_matrix(np.array(a, np.float32), np.array(b, np.float32)), np.array(expected))


def test_the_best_box_of_each_heap_is_kept_best_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert suppress_overlaps(boxes, np.array([0.5, 0.9, 0.7]), np.zeros(3, int), 0.3).tolist() == [1, 2]


def test_boxes_of_different_owners_do_not_overlap() -> None:
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (4, 1))
    owners = np.array([7, 2, 7, 2])
    assert suppress_overlaps(boxes, np.array([0.5, 0.9, 0.7, 0.9]), owners, 0.3).tolist() == [1, 2]


def test_no_boxes_are_no_boxes() -> None:
    assert suppress_overlaps(np.empty((0, 4)), np.empty(0), np.empty(0, int), 0.3).tolist() == []


@given(st.integers(0, 40), st.integers(1, 4), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_what_is_kept_for_all_owners_at_once_is_what_one_after_the_other_keeps(
    count: int, most: int, max_iou: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(-2, 30, (count, 2))], axis=1).astype(np.float32)
    scores, owners = random.integers(0, 9, count) / 8, random.integers(0, most, count)
    wanted: list[int] = []
    for owner in range(most):
        kept: list[int] = []
        for index in sorted(np.flatnonzero(owners == owner).tolist(), key=lambda one: -scores[one]):
            if all(iou_matrix(boxes[[index]], boxes[[other]])[0, 0] <= max_iou for other in kept):
                kept.append(index)
        wanted += kept
    assert suppress_overlaps(boxes, scores, owners, max_iou).tolist() == wanted


@given(st.integers(16, 4096), st.integers(16, 4096))
def test_a_letterbox_fits_and_points_come_back(width: int, height: int) -> None:
    box = Letterbox.fit((width, height), (640, 384))
    assert 1 <= box.width <= 640
    assert 1 <= box.height <= 384
    corner = np.array([[width, height]], np.float32)
    assert np.allclose(box.to_picture(corner * box.scale), corner, rtol=1e-4)


def test_the_square_keeps_the_centre_and_adds_the_margin() -> None:
    assert square_around(np.array([10, 10, 30, 50]), 0.25).tolist() == [-10.0, 0.0, 50.0, 60.0]
