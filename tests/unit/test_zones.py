"""Zones as geometry, as part of the plan, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, SitePlanError
from common.siteplan import SitePlan, parse_plan
from common.zones import area, contains, deciding_point
from maskwatch.site.drawing import draw_zones, render
from workers.recording import read_picture, write_picture

SQUARE = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]
HOLLOW = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.8, 1.0), (0.8, 0.2), (0.2, 0.2), (0.2, 1.0), (0.0, 1.0)]
shares = st.floats(0, 1)


def a_plan(polygon: Any = SQUARE, **rest: Any) -> dict[str, Any]:
    camera = {"id": "gate-1", "source": "a.mp4", "zones": {"hall": polygon}}
    return {"site": "central", "cameras": [camera], "zones": [{"id": "hall"}]} | rest


@pytest.mark.parametrize(
    ("corners", "point", "inside"),
    [
        (SQUARE, (0.5, 0.5), True),
        (SQUARE, (0.2, 0.5), True),  # on the edge
        (SQUARE, (0.8, 0.8), True),  # on a corner
        (SQUARE, (0.81, 0.5), False),
        (HOLLOW, (0.5, 0.5), False),
        (HOLLOW, (0.1, 0.9), True),
        (HOLLOW, (0.5, 0.1), True),
    ],
)
def test_what_a_polygon_contains(corners: list[tuple[float, float]], point: tuple[float, float], inside: bool) -> None:
    assert contains(corners, *point) is inside
    assert contains(corners[::-1], *point) is inside


@given(x=shares, y=shares, x1=shares, y1=shares, x2=shares, y2=shares)
def test_a_rectangle_contains_what_lies_between_its_sides(
    x: float, y: float, x1: float, y1: float, x2: float, y2: float
) -> None:
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    within = min(x1, x2) < x < max(x1, x2) and min(y1, y2) < y < max(y1, y2)
    beyond = x < min(x1, x2) or x > max(x1, x2) or y < min(y1, y2) or y > max(y1, y2)

    assert contains(corners, x, y) or not within
    assert not (contains(corners, x, y) and beyond)


def test_the_test_point_stays_in_the_picture() -> None:
    box = (0.4, 0.7, 0.6, 1.2)

    assert deciding_point(box, "bottom") == (0.5, 1.0)
    assert deciding_point(box, "centre")[1] == pytest.approx(0.95)
    assert deciding_point(box, "top") == (0.5, 0.7)
    assert area(SQUARE) == pytest.approx(0.36)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (
            a_plan([[0, 0], [1, 1], [1, 0], [0, 1]]),
            "cameras[0].zones.hall: crosses itself: the edge from corner 0 to 1",
        ),
        (a_plan([[0, 0], [1, 0], [0.5, 0.5], [1, 1], [0, 1], [0.5, 0.5]]), "corner 5 is there twice"),
        (a_plan([[0, 0], [1, 0], [1, 1], [0, 0]]), "corner 3 is there twice; the polygon closes by itself"),
        (a_plan([[0, 0], [0.5, 0.5], [1, 1]]), "cameras[0].zones.hall: has no area"),
        (a_plan([[0, 0], [1, 0]]), "cameras[0].zones.hall: List should have at least 3 items"),
        (a_plan([[0, 0], [1.2, 0], [1, 1]]), "cameras[0].zones.hall[1][0]: Input should be less than or equal to 1"),
        (
            a_plan([[0, -0.1], [1, 0], [1, 1]]),
            "cameras[0].zones.hall[0][1]: Input should be greater than or equal to 0",
        ),
        (a_plan([[0, float("nan")], [1, 0], [1, 1]]), "cameras[0].zones.hall[0][1]: Input should be"),
        (a_plan([[0, 0, 0], [1, 0], [1, 1]]), "cameras[0].zones.hall[0]"),
        (a_plan("0,0 1,0 1,1"), "cameras[0].zones.hall: Input should be a valid list"),
        (a_plan(zones=[{"id": "hal"}]), "cameras[0].zones.hall: there is no zone 'hall'; did you mean 'hal'?"),
        (a_plan(zones=[]), "cameras[0].zones.hall: there is no zone 'hall'; the plan has no 'zones' list"),
        (a_plan(zones=[{"id": "hall"}, {"id": "hall"}]), "zones[1].id: 'hall' is there twice"),
        (
            a_plan(zones=[{"id": "hall", "policy": "defalt"}]),
            "zones[0].policy: there is no policy 'defalt'; did you mean",
        ),
        (
            a_plan(zones=[{"id": "hall"}, {"id": "hal", "policy": "default"}]),
            "zones[1]: policy 'default' for a zone that no camera draws; did you mean 'hall'?",
        ),
        (a_plan(zones=[{"id": "hall", "test_point": "feet"}]), "zones[0].test_point: Input should be 'bottom'"),
        (a_plan(zones=[{"id": "hall", "inertia": 2}]), "zones[0].inertia: unknown key; did you mean 'inertia_s'?"),
    ],
)
def test_a_bad_zone_names_the_key_and_the_nearest_valid_name(raw: object, complaint: str) -> None:
    with pytest.raises(SitePlanError) as caught:
        parse_plan(raw, "site.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("site.yaml: ")
    assert "(top level)" not in str(caught.value)


def test_zones_come_in_the_order_of_the_plan_and_survive_the_broker() -> None:
    plan = parse_plan(a_plan(zones=[{"id": "booth"}, {"id": "hall"}]), "x")
    again = SitePlan.model_validate_json(plan.to_bytes())

    assert again == plan
    assert [(zone.id, len(corners)) for zone, corners in again.zones_of("gate-1")] == [("hall", 4)]
    assert again.zones_of("another") == []


def test_a_drawn_zone_is_shaded_and_nothing_outside_it_is_touched() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    plan = parse_plan(a_plan(), "x")
    drawn = render([(zone, corners, "") for zone, corners in plan.zones_of("gate-1")], picture)

    assert (drawn[150, 150] != picture[150, 150]).any()
    assert (drawn[:30] == 90).all()
    assert (drawn[180:] == 90).all()
    assert (picture == 90).all()


def test_drawing_writes_a_picture_and_says_what_is_asked_for_where(tmp_path: Path) -> None:
    write_picture(tmp_path / "frame.png", np.full((200, 300, 3), 90, np.uint8))
    lines = draw_zones(parse_plan(a_plan(), "x"), "gate-1", tmp_path / "zones.png", tmp_path / "frame.png")

    assert lines == [
        "hall: 36% of the picture, default (mask required), bottom of the face",
        f"written: {tmp_path / 'zones.png'}",
    ]
    assert read_picture(tmp_path / "zones.png").shape == (200, 300, 3)


def test_without_a_picture_the_camera_is_asked_for_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "shots" / "1.png", np.full((200, 300, 3), 90, np.uint8))
    plan = a_plan()
    plan["cameras"][0]["source"] = str(tmp_path / "shots")
    draw_zones(parse_plan(plan, "x"), "gate-1", tmp_path / "zones.png")

    assert (read_picture(tmp_path / "zones.png") != 90).any()


@pytest.mark.parametrize(
    ("camera", "image", "complaint"),
    [("gate-2", None, "no camera 'gate-2'; did you mean 'gate-1'?"), ("gate-1", "no.png", "--image: no.png: ")],
)
def test_what_cannot_be_drawn_is_said(tmp_path: Path, camera: str, image: str | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        draw_zones(parse_plan(a_plan(), "x"), camera, tmp_path / "zones.png", Path(image) if image else None)
    assert complaint in str(caught.value)
    assert not (tmp_path / "zones.png").exists()
