"""How well a face can be seen, from its landmarks and from the faces around it."""

from __future__ import annotations

import math

import pytest

from tests.judge_scenes import a_face
from workers.judge.quality import look_of, occlusions, yaw_of

SIZE = (1000, 500)


def a_head(yaw_deg: float, roll_deg: float = 0.0) -> list[tuple[float, float]]:
    """Five points of a head that is turned, seen from afar, relative to a picture of 1000 x 500 px."""
    turn, roll = math.radians(yaw_deg), math.radians(roll_deg)
    solid = [(-0.5, -0.5, 0.0), (0.5, -0.5, 0.0), (0.0, 0.0, 0.45), (-0.35, 0.5, 0.0), (0.35, 0.5, 0.0)]
    flat = [(x * math.cos(turn) + z * math.sin(turn), y) for x, y, z in solid]
    rolled = [(x * math.cos(roll) - y * math.sin(roll), x * math.sin(roll) + y * math.cos(roll)) for x, y in flat]
    return [(0.5 + 40 * x / SIZE[0], 0.5 + 40 * y / SIZE[1]) for x, y in rolled]


@pytest.mark.parametrize("roll", [0, 20, -35])
@pytest.mark.parametrize("yaw", [-80, -45, 0, 15, 60, 85])
def test_a_turned_head_is_measured_however_it_is_tilted(yaw: int, roll: int) -> None:
    assert yaw_of(a_head(yaw, roll), SIZE) == pytest.approx(yaw, abs=1)


def test_without_landmarks_nothing_is_known() -> None:
    assert yaw_of((), SIZE) is None
    assert yaw_of([(0.5, 0.5)] * 5, SIZE) in (-90, 90)


def test_a_look_measures_the_longer_side() -> None:
    look = look_of(a_face(0.5, 0.5, 0.05, "mask", 33.0), (1280, 720), 0.25)

    assert look.face_px == pytest.approx(76.8, abs=0.1)
    assert (look.blur, look.yaw, look.occlusion) == (33.0, None, 0.25)


@pytest.mark.parametrize(
    ("boxes", "hidden"),
    [
        ([], []),
        ([(0.1, 0.1, 0.2, 0.2)], [0.0]),
        ([(0.1, 0.1, 0.2, 0.2), (0.3, 0.1, 0.4, 0.2)], [0.0, 0.0]),
        ([(0.1, 0.1, 0.2, 0.2), (0.15, 0.1, 0.35, 0.3)], [0.5, 0.0]),
        ([(0.15, 0.1, 0.35, 0.3), (0.1, 0.1, 0.2, 0.2)], [0.0, 0.5]),
        ([(0.1, 0.4, 0.2, 0.5), (0.1, 0.1, 0.3, 0.45)], [0.0, 0.0]),  # the larger one is higher: who is in front?
    ],
)
def test_a_nearer_face_hides_another(boxes: list[tuple[float, float, float, float]], hidden: list[float]) -> None:
    assert occlusions(boxes) == hidden
