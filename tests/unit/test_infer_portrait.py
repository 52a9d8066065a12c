"""In a small picture the detector finds nobody but the subject, and in a redacted one nobody at all."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

import producers
from common import jpeg
from common.images import Picture, read_picture, resize
from common.models.decode import Detections
from common.settings import shared_folder
from workers.backends.backend import BackendOptions, load_models
from workers.backends.openvino_backend import OpenVinoBackend
from workers.infer.pictures.blurring import hide
from workers.infer.pictures.portrait import LONG_SIDE_PX, Shot, portraits, subject_among
from workers.infer.vision.pipeline import FacePipeline

PORTRAIT = Path(producers.__file__).parent / "portraits" / "hopper.jpg"
SCENES = 25


@functools.cache
def pipeline() -> FacePipeline:
    return FacePipeline(OpenVinoBackend(*load_models(), BackendOptions()), *load_models())


def shots_of(picture: Picture, *, redacted: bool, most: int = 3) -> list[Shot]:
    boxes = pipeline().find([picture], pipeline().min_score)[0].boxes
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) if len(boxes) else np.empty(0)
    large = [index for index in range(len(boxes)) if sides[index] >= 24][:most]
    return [Shot(picture, boxes[index], np.delete(boxes, index, 0), redacted) for index in large]


def saved(shots: list[Shot]) -> list[Picture]:
    """Make the pictures and send them through the file format in which they are kept."""
    made = portraits(shots, pipeline().find, pipeline().min_score)
    return [jpeg.decode(jpeg.encode(picture, 80)) for picture in made if picture is not None]


def usable(picture: Picture) -> Detections:
    return pipeline().find([picture], pipeline().min_score)[0]


def crowds() -> list[Picture]:
    folder = shared_folder()
    if folder is None or not (folder / "data/scenes/faces.jsonl").exists():
        pytest.skip("the photographs of ../shared/data/scenes are not here")
    rows = [json.loads(line) for line in (folder / "data/scenes/faces.jsonl").read_text().splitlines()]
    rows = [row for row in rows if len(row["faces"]) >= 4 and row["source"] != "portraits"]
    chosen = rows[:: max(1, len(rows) // SCENES)][:SCENES]
    return [read_picture(folder / "data/scenes" / row["file"]) for row in chosen]


def two_people() -> Picture:
    scene = np.full((480, 640, 3), 90, np.uint8)
    face = resize(jpeg.decode(PORTRAIT.read_bytes()), (200, 200))
    scene[140:340, 100:300] = face
    scene[140:340, 310:510] = face[:, ::-1]
    return scene


def test_in_photographs_of_crowds_nobody_but_the_subject_can_be_found() -> None:
    made = [picture for scene in crowds() for picture in saved(shots_of(scene, redacted=False))]
    assert len(made) >= SCENES
    assert [len(usable(picture).boxes) > 1 for picture in made] == [False] * len(made)


def test_in_redacted_pictures_nobody_can_be_found_at_all() -> None:
    made = [picture for scene in crowds() for picture in saved(shots_of(scene, redacted=True, most=2))]
    assert len(made) >= SCENES
    assert [len(usable(picture).boxes) for picture in made] == [0] * len(made)


def test_the_subject_stays_and_the_neighbour_goes() -> None:
    scene = two_people()
    shots = shots_of(scene, redacted=False)
    assert len(shots) == 2
    for shot in shots:
        (picture,) = saved([shot])
        assert max(picture.shape[:2]) <= LONG_SIDE_PX
        assert len(usable(picture).boxes) == 1
    assert np.array_equal(scene, two_people()), "the frame itself is not changed"


def test_a_neighbour_that_the_frame_did_not_show_is_found_in_the_small_picture() -> None:
    shot = shots_of(two_people(), redacted=False)[0]
    (picture,) = saved([shot._replace(others=np.empty((0, 4), np.float32))])
    assert len(usable(picture).boxes) == 1


def test_a_picture_in_which_somebody_stays_visible_is_not_made() -> None:
    stubborn = Detections(
        np.array([[0, 0, 40, 40]], np.float32), np.array([0.9], np.float32), np.zeros((1, 5, 2), np.float32)
    )
    shot = shots_of(two_people(), redacted=False)[0]
    assert portraits([shot], lambda pictures, _: [stubborn] * len(pictures), 0.7) == [None]


def test_hiding_leaves_nothing_finer_than_a_few_blocks() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (100, 100, 3), np.uint8)
    picture = noise.copy()
    hide(picture, [np.array([20, 20, 80, 80], np.float32)])
    inside = picture[10:90, 10:90].astype(np.int16)
    assert np.abs(np.diff(inside, axis=0)).max() <= 8
    assert np.array_equal(picture[:1], noise[:1])
    hide(picture, [np.array([-50, -50, -10, 200], np.float32), np.array([5, 5, 5, 5], np.float32)])


def test_the_subject_is_at_most_one_of_the_faces() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
    assert subject_among(np.array([1, 1, 11, 11], np.float32), boxes) == 1
    assert subject_among(np.array([30, 30, 40, 40], np.float32), boxes) == -1
    assert subject_among(boxes[0], boxes[:0]) == -1
