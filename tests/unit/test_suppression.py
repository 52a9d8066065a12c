"""Of overlapping boxes the best is kept, and what is kept of many owners at once is what each would keep alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.geometry import iou_matrix
from common.models.suppression import suppress_overlaps


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
    boxes = np.concatenate([corners, corners + random.uniform(0.1, 30, (count, 2))], axis=1).astype(np.float32)
    scores, owners = random.integers(0, 9, count) / 8, random.integers(0, most, count)
    wanted: list[int] = []
    for owner in range(most):
        kept: list[int] = []
        for index in sorted(np.flatnonzero(owners == owner).tolist(), key=lambda one: -scores[one]):
            if all(iou_matrix(boxes[[index]], boxes[[other]])[0, 0] <= max_iou for other in kept):
                kept.append(index)
        wanted += kept
    assert suppress_overlaps(boxes, scores, owners, max_iou).tolist() == wanted
