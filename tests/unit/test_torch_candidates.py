"""Candidates chosen on a device give exactly the faces that the host's decoding gives."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch

from common.geometry import square_around, squares_around
from common.models.decode import MAX_CANDIDATES, Detections, decode, grid
from workers.backends.torch_candidates import faces_in
from workers.backends.torch_lane import Lane

CANVAS = (320, 192)
LANE = Lane(torch.device("cpu"))


def both(raw: np.ndarray[tuple[int, ...], np.dtype[np.float32]], score: float) -> tuple[list[Detections], ...]:
    with LANE.entered():
        there = faces_in(torch.from_numpy(raw), LANE, CANVAS, (score, 0.45))
    return there, decode(raw, CANVAS, score, 0.45)


def noise(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    random = np.random.default_rng(seed)
    raw = random.normal(0, 1, (count, len(grid(CANVAS)), 16)).astype(np.float32)
    raw[..., 0] = random.uniform(0, 1, raw.shape[:2])
    return raw


@pytest.mark.parametrize("score", [0.0, 0.9, 0.99, 1.1])
def test_the_same_faces_come_out_to_the_bit(score: float) -> None:
    there, here = both(noise(3), score)
    assert len(there) == 3
    for ours, theirs in zip(there, here, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(astuple(ours), astuple(theirs), strict=True))


def test_a_picture_without_candidates_among_others_gets_none() -> None:
    raw = noise(3)
    raw[1, :, 0] = 0
    there, _ = both(raw, 0.9)
    assert [len(faces.boxes) > 0 for faces in there] == [True, False, True]


def test_what_is_not_finite_is_no_face() -> None:
    raw = noise(2)
    raw[0, :, 0] = np.nan
    raw[1, ::2, 5] = np.inf
    there, here = both(raw, 0.95)
    assert not len(there[0].boxes)
    assert np.array_equal(there[1].boxes, here[1].boxes)


def test_more_candidates_than_are_looked_at_are_cut_alike() -> None:
    canvas = (640, 640)
    raw = np.zeros((1, len(grid(canvas)), 16), np.float32)
    raw[0, :, 0] = np.linspace(0.5, 1, len(grid(canvas)))
    with LANE.entered():
        (ours,) = faces_in(torch.from_numpy(raw), LANE, canvas, (0.4, 1.0))
    (theirs,) = decode(raw, canvas, 0.4, 1.0)
    assert len(ours.boxes) == MAX_CANDIDATES
    assert np.array_equal(ours.boxes, theirs.boxes)


def test_many_canvases_at_once_give_what_each_gives_alone() -> None:
    raw = noise(5, seed=3)
    raw[..., 3:5] += 1.5  # large boxes: many overlap
    raw[2, :, 0] = 0
    raw[3, 7] = np.nan
    together, here = both(raw, 0.8)
    alone = [decode(one[None], CANVAS, 0.8, 0.45)[0] for one in raw]
    assert [len(faces.boxes) for faces in alone][2] == 0
    for ours, theirs, single in zip(together, here, alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(astuple(ours), astuple(theirs), strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(astuple(ours), astuple(single), strict=True))


def test_squares_around_many_boxes_are_those_around_each() -> None:
    boxes = np.random.default_rng(2).uniform(-50, 700, (200, 4)).astype(np.float32)
    assert np.array_equal(squares_around(boxes, 0.25), np.stack([square_around(box, 0.25) for box in boxes]))
    assert squares_around(np.empty((0, 4)), 0.25).shape == (0, 4)
