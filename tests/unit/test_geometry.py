"""Boxes and the letterbox, as tables with the empty case, and round trips as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.geometry import Letterbox, iou_matrix, square_around


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


@given(st.integers(16, 4096), st.integers(16, 4096))
def test_a_letterbox_fits_and_points_come_back(width: int, height: int) -> None:
    box = Letterbox.fit((width, height), (640, 384))
    assert 1 <= box.width <= 640
    assert 1 <= box.height <= 384
    corner = np.array([[width, height]], np.float32)
    assert np.allclose(box.to_picture(corner * box.scale), corner, rtol=1e-4)


def test_the_square_keeps_the_centre_and_adds_the_margin() -> None:
    assert square_around(np.array([10, 10, 30, 50]), 0.25).tolist() == [-10.0, 0.0, 50.0, 60.0]
