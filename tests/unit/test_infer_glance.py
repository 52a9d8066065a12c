"""A glance's answers to faces and patches: pure geometry, whatever network gave them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.geometry import FloatArray
from common.images import halve
from common.models.decode import DetectionBatch
from workers.infer.vision.glance import (
    CELL_PX,
    HUGE_PX,
    LARGE_PX,
    LEAST_SCORE,
    SURE_SCORE,
    Glance,
    Places,
    focus_places,
    half_of,
    on_half_canvases,
    plan,
    put_together,
    worth_a_glance,
)
from workers.infer.vision.patches import CUT_PX, PATCH_PX, PATCH_STEP_PX, cut, most_patches, patches_over

NOWHERE = Places(np.empty((0, 4), np.float32), np.empty(0, np.intp))
CANVAS = (640, 384)
MOST = most_patches(CANVAS)
Face = tuple[float, float, float, float, float]


def detections(*faces: Face) -> DetectionBatch:
    """Give faces of x1, y1, x2, y2, score on one canvas; their landmarks lie in the middle."""
    return on_canvases(list(faces))


def on_canvases(*canvases: list[Face]) -> DetectionBatch:
    table = np.array([face for faces in canvases for face in faces], np.float32).reshape(-1, 5)
    middles = (table[:, :2] + table[:, 2:4]) / 2
    owners = np.repeat(np.arange(len(canvases)), [len(faces) for faces in canvases])
    landmarks = np.repeat(middles[:, None], 5, axis=1).astype(np.float32)
    return DetectionBatch(table[:, :4], table[:, 4], landmarks, owners, len(canvases))


def places_on_one(*boxes: list[float]) -> Places:
    return Places(np.array(boxes, np.float32), np.zeros(len(boxes), np.intp))


def shown_whole(place: FloatArray, corner: tuple[int, int]) -> bool:
    x1, y1, x2, y2 = place
    return bool(
        corner[0] <= max(x1, 0)
        and corner[1] <= max(y1, 0)
        and min(x2, CANVAS[0]) <= corner[0] + PATCH_PX
        and min(y2, CANVAS[1]) <= corner[1] + PATCH_PX
    )


def test_a_sure_face_is_taken_at_double_its_place_and_needs_no_patch() -> None:
    glance = plan(detections((10, 20, 30, 44, SURE_SCORE)), NOWHERE, CANVAS)
    assert glance.patches == ((),)
    assert glance.faces.boxes.tolist() == [[20, 40, 60, 88]]
    assert glance.faces.landmarks[0, 0].tolist() == [40, 64]


@pytest.mark.parametrize(
    ("side", "score"),
    [(20, SURE_SCORE - 0.01), (10, 0.95), (20, LEAST_SCORE), (9, LEAST_SCORE), (LARGE_PX - 1, 0.5)],
)
def test_a_small_or_doubtful_one_is_looked_at_again_and_is_no_face_yet(side: int, score: float) -> None:
    glance = plan(detections((100, 50, 100 + side, 50 + side, score)), NOWHERE, CANVAS)
    assert len(glance.faces.scores) == 0
    assert [len(patches or ()) for patches in glance.patches] == [1]
    assert glance.wide == ((),)


@pytest.mark.parametrize(("side", "score"), [(HUGE_PX, 0.5), (20, LEAST_SCORE - 0.01), (LARGE_PX, LEAST_SCORE - 0.01)])
def test_a_huge_or_hopeless_one_is_left_as_it_is(side: int, score: float) -> None:
    glance = plan(detections((100, 20, 100 + side, 20 + side, score)), NOWHERE, CANVAS)
    assert glance.faces.scores.tolist() == [pytest.approx(score)]
    assert glance.patches == glance.wide == ((),)


@pytest.mark.parametrize(("side", "score"), [(LARGE_PX, SURE_SCORE - 0.01), (HUGE_PX - 1, LEAST_SCORE)])
def test_a_large_doubtful_one_is_looked_at_again_at_half_size(side: int, score: float) -> None:
    glance = plan(detections((200, 20, 200 + side, 20 + side, score)), NOWHERE, CANVAS)
    assert len(glance.faces.scores) == 0
    assert glance.patches == ((),)
    (((x, y),),) = glance.wide
    assert 0 <= x <= CANVAS[0] // 2 - PATCH_PX
    assert y == 0


def test_more_large_doubts_than_half_a_canvas_has_room_for_mean_the_whole_canvas() -> None:
    large = (2048, 1536)
    doubts = [(x, y, x + 60, y + 60, 0.5) for x in (20, 300, 600, 900) for y in (20, 300, 600)]
    glance = plan(detections(*doubts, (500, 180, 520, 200, 0.5)), NOWHERE, large)
    assert glance.patches == (None,)
    assert glance.wide == ((),)


def test_places_of_the_focus_map_are_its_peaks_highest_first() -> None:
    chances = np.zeros((3, 24, 40), np.float32)
    chances[0, 5, 7], chances[0, 5, 8], chances[0, 20, 3], chances[0, 0, 39] = 0.6, 0.5, 0.9, 0.15
    chances[2, 23, 39] = 0.3
    middles = [(x + 0.5) * CELL_PX for x in (3, 20, 7, 5, 39, 23)]
    places = focus_places(chances, 0.2)
    assert ((places.boxes[:, :2] + places.boxes[:, 2:]) / 2).ravel().tolist() == middles
    assert places.owners.tolist() == [0, 0, 2]
    assert focus_places(chances, 0.1).owners.tolist() == [0, 0, 0, 2]
    assert focus_places(chances, 0.95).boxes.shape == (0, 4)


def test_a_place_of_the_focus_map_is_looked_at_unless_a_face_is_known_there() -> None:
    places = places_on_one([188, 88, 212, 112], [400, 200, 424, 224])
    (patches,) = plan(detections((90, 40, 120, 70, 0.9)), places, CANVAS).patches
    assert patches is not None
    assert len(patches) == 1
    assert shown_whole(places.boxes[1], patches[0])
    (unsure,) = plan(detections((90, 40, 140, 90, 0.3)), places, CANVAS).patches
    assert unsure is not None
    assert len(unsure) == 2


@pytest.mark.parametrize(
    ("x", "y", "looked_at"),
    [
        (220, 74, False),  # a hat
        (239, 74, False),
        (242, 74, True),  # beside the hat
        (220, 68, True),  # above it
        (258, 160, False),  # a shoulder
        (182, 174, False),
        (262, 160, True),  # beside it
        (220, 180, True),  # the chest: a child may stand there
        (246, 124, True),  # the next face
    ],
)
def test_hat_and_collar_of_a_known_face_are_not_looked_at(x: int, y: int, looked_at: bool) -> None:
    places = places_on_one([x - 12, y - 12, x + 12, y + 12])
    glance = plan(detections((100, 50, 120, 74, 0.9)), places, CANVAS)  # 40 by 48 px of the canvas around 220, 124
    assert [len(patches or ()) for patches in glance.patches] == [int(looked_at)]


def test_what_is_known_on_one_canvas_says_nothing_of_another() -> None:
    found = on_canvases([(90, 40, 120, 70, 0.9)], [], [(10, 20, 30, 44, 0.5)])
    places = Places(np.array([[188, 88, 212, 112]] * 2, np.float32), np.array([0, 1]))
    glance = plan(found, places, CANVAS)
    assert [len(patches or ()) for patches in glance.patches] == [0, 1, 1]
    assert glance.faces.owners.tolist() == [0]


def test_neighbours_share_a_patch_and_those_afar_have_their_own() -> None:
    near = [[300, 100, 320, 120], [340, 130, 360, 150], [310, 160, 330, 180]]
    assert len(patches_over(np.array(near, np.float32), CANVAS, MOST) or ()) == 1
    far = np.array([*near, [20, 20, 40, 40]], np.float32)
    assert len(patches_over(far, CANVAS, MOST) or ()) == 2


def test_more_patches_than_pay_mean_the_whole_canvas() -> None:
    corners = [[x, y, x + 20, y + 20] for x in (20, 180, 340, 500) for y in (20, 300)]
    assert patches_over(np.array(corners, np.float32), CANVAS, MOST) is None
    assert patches_over(np.array(corners[:2], np.float32), CANVAS, MOST) is not None
    assert patches_over(np.tile(np.array([[9, 9, 20, 20]], np.float32), (100, 1)), CANVAS, 999) is None
    assert patches_over(np.empty((0, 4), np.float32), CANVAS, MOST) == ()


@given(
    st.lists(
        st.tuples(st.floats(-20, 630), st.floats(-20, 370), st.floats(4, 80), st.floats(4, 80)), min_size=1, max_size=12
    )
)
def test_every_place_is_shown_whole_by_a_patch_inside_the_canvas(
    found: list[tuple[float, float, float, float]],
) -> None:
    places = np.array([[x, y, x + width, y + height] for x, y, width, height in found], np.float32)
    patches = patches_over(places, CANVAS, MOST)
    if patches is None:
        return
    assert len(set(patches)) == len(patches)
    for x, y in patches:
        assert 0 <= x <= CANVAS[0] - PATCH_PX
        assert 0 <= y <= CANVAS[1] - PATCH_PX
        assert x % PATCH_STEP_PX == y % PATCH_STEP_PX == 0
    for place in places:
        assert any(shown_whole(place, corner) for corner in patches), place


Look = tuple[tuple[int, int], list[Face]]


def together(faces: DetectionBatch, *looks: Look) -> list[list[int]]:
    glance = Glance(faces, (tuple(corner for corner, _ in looks),), ((),))
    found = put_together(glance, on_canvases(*(seen for _, seen in looks)), CANVAS, 0.3)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    return [[round(value) for value in box] for box in found.boxes.tolist()]


def test_faces_of_patches_come_to_their_place_on_the_canvas() -> None:
    glance = Glance(on_canvases([], [], []), ((), None, ((64, 96),)), (((128, 0),), (), ()))
    looks = on_canvases([(50, 60, 70, 80, 0.9)], [(20, 10, 80, 90, 0.8)])
    large, small = (put_together(glance, looks, CANVAS, 0.3).split()[slot] for slot in (0, 2))
    assert small.boxes.tolist() == [[114, 156, 134, 176]]
    assert small.landmarks[0, 0].tolist() == [124, 166]
    assert large.boxes.tolist() == [[296, 20, 416, 180]]
    assert large.landmarks[0, 0].tolist() == [356, 100]


def test_a_large_face_may_reach_the_rim_of_the_half_canvas_but_not_that_of_its_patch() -> None:
    glance = Glance(on_canvases([]), ((),), (((128, 0),),))
    for box, kept in (((100, 60, 192, 191, 0.9), 1), ((0, 60, 90, 150, 0.9), 0)):
        found = put_together(glance, on_canvases([box]), CANVAS, 0.3)
        assert len(found.scores) == kept


def test_the_visible_part_of_a_known_face_is_no_second_face_at_half_size_either() -> None:
    known = on_canvases([(180, 40, 300, 160, 0.9)])
    glance = Glance(known, ((),), (((128, 0),),))
    found = put_together(glance, on_canvases([(9, 20, 22, 78, 0.8)]), CANVAS, 0.3)
    assert found.boxes.tolist() == [[180, 40, 300, 160]]


def test_a_face_seen_in_two_patches_and_at_a_glance_counts_once_at_its_best() -> None:
    looks: list[Look] = [((64, 96), [(50, 60, 70, 80, 0.9)]), ((96, 96), [(18, 60, 38, 80, 0.95)])]
    assert together(detections((114, 156, 135, 176, 0.85)), *looks) == [[114, 156, 134, 176]]


def test_a_face_cut_off_by_the_rim_is_left_to_another_patch_but_not_at_the_canvas_rim() -> None:
    cut_off: list[Face] = [(PATCH_PX - 30, 60, PATCH_PX - CUT_PX + 1, 90, 0.9)]
    assert together(detections(), ((64, 96), cut_off)) == []
    assert len(together(detections(), ((CANVAS[0] - PATCH_PX, 96), cut_off))) == 1


def test_the_visible_part_of_a_known_face_is_no_second_face() -> None:
    """Seen with a face of 80 px at the rim of a patch: its visible half was found as a face of its own."""
    known = detections((188, 143, 267, 236, 0.89))
    half: Look = ((64, 64), [(116, 93, 150, 154, 0.84)])
    assert together(known, half) == [[188, 143, 267, 236]]
    beside: Look = ((64, 64), [(40, 40, 70, 80, 0.84)])
    assert len(together(known, beside)) == 2


def test_halving_keeps_places_and_is_black_where_there_is_no_picture() -> None:
    picture = np.zeros((479, 640, 3), np.uint8)
    picture[100:140, 200:260] = 200
    picture[478, 0] = 100
    half = on_half_canvases([halve(picture)], (640, 480))
    assert half.shape == (1, 256, 320, 3)
    assert (half[0, 50:70, 100:130] == 200).all()
    assert half[0, 239, 0].tolist() == [25, 25, 25]
    assert half.sum(dtype=int) == (200 * 20 * 30 + 25) * 3
    assert half_of((640, 480)) == (320, 256)
    grey = halve(np.full((360, 500, 3), 9, np.uint8))
    assert (on_half_canvases([grey], (640, 384))[0, :180, :250] == 9).all()


def test_patches_are_squares_of_the_canvas_black_beyond_the_picture() -> None:
    picture = np.arange(360 * 640 * 3, dtype=np.uint32).astype(np.uint8).reshape(360, 640, 3)
    square = np.full((PATCH_PX, PATCH_PX, 3), 7, np.uint8)
    cut(picture, (32, 64), square)
    assert (square == picture[64 : 64 + PATCH_PX, 32 : 32 + PATCH_PX]).all()
    cut(picture, (448, 192), square)
    assert (square[:168] == picture[192:, 448:]).all()
    assert (square[168:] == 0).all()


@pytest.mark.parametrize(
    ("canvas", "worth"), [((640, 384), True), ((480, 288), True), ((448, 256), False), ((640, 128), False)]
)
def test_small_canvases_are_looked_at_whole_at_once(canvas: tuple[int, int], worth: bool) -> None:
    assert worth_a_glance(canvas) is worth
