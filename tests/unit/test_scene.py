"""The synthetic scene: the same always, and its pictures show what its truth says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from producers.scene import SceneCamera, SceneFace
from producers.scene_masks import COLOURS, POSES, Wear, put_on
from producers.scene_portraits import PERSONS, person
from producers.scene_visits import MIN_STATE_S, Visit, visits_between

NAMES = [("concourse", 1), ("gates", 2), ("platform", 3), ("arrivals", 4)]


def visits(seconds: float = 400.0) -> list[Visit]:
    return [visit for name, seed in NAMES for visit in visits_between(name, seed, 0.0, seconds)]


def test_the_same_name_seed_and_time_give_the_same_picture() -> None:
    first, again = SceneCamera("gates", 2).frame(7.3), SceneCamera("gates", 2).frame(7.3)
    assert first.shape == (540, 960, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_another_seed_is_another_scene() -> None:
    assert not np.array_equal(SceneCamera("gates", 1).frame(7.3), SceneCamera("gates", 2).frame(7.3))


def test_no_two_frames_are_identical_although_nobody_moves() -> None:
    scene = SceneCamera("gates", 2)
    empty = [scene.frame(t / 8) for t in range(-8, 0)]
    assert len({frame.tobytes() for frame in empty}) == len(empty)
    assert np.abs(empty[0].astype(int) - empty[1]).mean() < 4


@pytest.mark.parametrize("size", [(320, 180), (640, 480), (1920, 1080)])
def test_the_scene_is_drawn_in_the_wanted_size_with_faces_at_the_same_place(size: tuple[int, int]) -> None:
    small, usual = SceneCamera("gates", 2, size), SceneCamera("gates", 2)
    assert small.frame(6.0).shape == (size[1], size[0], 3)
    for one, other in zip(small.faces(6.0), usual.faces(6.0), strict=True):
        assert (one.box[1] + one.box[3]) / 2 / size[1] == pytest.approx((other.box[1] + other.box[3]) / 2 / 540)


def test_every_visit_and_every_state_lasts_long_enough_to_be_judged() -> None:
    for visit in visits():
        assert visit.enter_s <= visit.start_s < visit.end_s <= visit.leave_s
        changes = [visit.start_s, *(since for since, _ in visit.states[1:]), visit.end_s]
        assert min(np.diff(changes)) >= MIN_STATE_S


def test_a_place_stays_empty_between_two_visitors() -> None:
    for name, seed in NAMES:
        by_walk: dict[str, list[Visit]] = {}
        for visit in visits_between(name, seed, 0.0, 400.0):
            by_walk.setdefault(visit.walk, []).append(visit)
        for line in by_walk.values():
            gaps = [after.enter_s - before.leave_s for before, after in itertools.pairwise(line)]
            assert min(gaps) > 3


def test_faces_that_can_be_judged_keep_apart() -> None:
    for name, seed in NAMES:
        scene = SceneCamera(name, seed)
        for t in np.arange(0, 120, 0.25):
            seen = sorted((face.box for face in scene.faces(float(t)) if face.visible), key=lambda box: box[0])
            assert all(left[2] < right[0] for left, right in itertools.pairwise(seen))


def test_every_state_and_several_persons_turn_up_within_a_minute() -> None:
    for name, seed in NAMES:
        minute = list(visits_between(name, seed, 0.0, 60.0))
        assert {state for visit in minute for _, state in visit.states} == {"mask", "no_mask", "incorrect"}
        assert len({visit.person for visit in minute}) >= 4


def test_faces_have_the_size_of_a_station_camera() -> None:
    scene = SceneCamera("gates", 2)
    heights = [face.box[3] - face.box[1] for t in range(200) for face in scene.faces(t / 2)]
    assert max(heights) < 140
    sizes = [visit.size * 540 for visit in visits()]
    assert min(sizes) > 60
    assert max(sizes) < 140


def test_asking_for_a_short_time_gives_the_same_visits_as_asking_for_all() -> None:
    everything = list(visits_between("gates", 2, 0.0, 300.0))
    for visit in everything:
        middle = (visit.enter_s + visit.leave_s) / 2
        assert visit in list(visits_between("gates", 2, middle, middle + 0.001))


@pytest.mark.parametrize("number", range(PERSONS))
@pytest.mark.parametrize("colour", sorted(COLOURS))
def test_a_mask_changes_the_mouth_only_where_its_pose_says_so(number: int, colour: str) -> None:
    portrait = person(number)
    points = portrait.points
    nose, mouth = (
        points["nose_base"],
        ((points["nose_base"][0]), (points["nose_base"][1] + points["lip_bottom"][1]) / 2),
    )
    chin = (points["chin"][0], points["chin"][1] - 3)
    covered = {
        pose: [moved(portrait.picture, put_on(portrait, Wear(colour, pose, pose)), at) for at in (nose, mouth, chin)]
        for pose in POSES
    }
    assert covered == {"worn": [True, True, True], "nose": [False, True, True], "chin": [False, False, True]}


def moved(before: np.ndarray, after: np.ndarray, at: tuple[float, float]) -> bool:
    x, y = round(at[0]), round(at[1])
    patch = np.s_[y - 2 : y + 1, x - 2 : x + 3]
    return bool(np.abs(before[patch].astype(int) - after[patch]).mean() > 18)


def test_the_picture_shows_the_state_that_the_truth_names() -> None:
    """Below the eyes, a worn mask is of the mask's colour and a bare face is not."""
    scene = SceneCamera("concourse", 1)
    compared = 0
    for t in np.arange(2, 64, 0.5):
        picture = scene.frame(float(t))
        for face in scene.faces(float(t)):
            if not face.visible or near_change(face.visit, float(t)):
                continue
            shown = mouth_colour(picture, face)
            bare = mouth_colour(portrait_alone(face), replace(face, box=person(face.visit.person).face))
            cloth = np.asarray(COLOURS[face.visit.colour])
            covered = np.abs(shown - cloth).sum() < np.abs(shown - bare).sum()
            assert covered == (face.state == "mask" or (face.state == "incorrect" and face.visit.pose == "nose"))
            compared += 1
    assert compared > 100


def portrait_alone(face: SceneFace) -> np.ndarray:
    return person(face.visit.person).picture


def near_change(visit: Visit, t: float) -> bool:
    return any(abs(since - t) < 0.4 for since, _ in visit.states[1:])


def mouth_colour(picture: np.ndarray, face: SceneFace) -> np.ndarray:
    portrait = person(face.visit.person)
    x1, y1, x2, y2 = portrait.face
    x = (portrait.points["nose_base"][0] - x1) / (x2 - x1)
    y = ((portrait.points["nose_base"][1] + 2 * portrait.points["lip_bottom"][1]) / 3 - y1) / (y2 - y1)
    bx1, by1, bx2, by2 = face.box
    width = (x2 - x1) / (y2 - y1) * (by2 - by1)
    column, row = round((bx1 + bx2) / 2 + (x - 0.5) * width), round(by1 + y * (by2 - by1))
    return np.asarray(picture[row - 2 : row + 3, column - 4 : column + 5].reshape(-1, 3).mean(axis=0))
