"""Zones: named areas of a camera's picture, as polygons in relative coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ZoneId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Share, Share]
TestPoint = Literal["bottom", "centre", "top"]
Box = tuple[float, float, float, float]

_LEAST_AREA = 1e-4
_MOST_CORNERS = 64


def _simple(corners: list[Point]) -> list[Point]:
    if len(set(corners)) < len(corners):
        twice = next(index for index, corner in enumerate(corners) if corner in corners[:index])
        hint = "; the polygon closes by itself" if twice == len(corners) - 1 and corners[0] == corners[-1] else ""
        raise ValueError(f"corner {twice} is there twice{hint}")
    count = len(corners)
    for first in range(count):
        for second in range(first + 2, count):
            if (second + 1) % count == first:
                continue
            if _cross(corners[first], corners[(first + 1) % count], corners[second], corners[(second + 1) % count]):
                raise ValueError(
                    f"crosses itself: the edge from corner {first} to {(first + 1) % count} "
                    f"meets the edge from corner {second} to {(second + 1) % count}"
                )
    if area(corners) < _LEAST_AREA:
        raise ValueError("has no area: all corners lie on a line, or nearly")
    return corners


Polygon = Annotated[list[Point], Field(min_length=3, max_length=_MOST_CORNERS), AfterValidator(_simple)]
"""Corners x, y in 0–1 of the picture, in order around the area; the last one is joined to the first."""


class Zone(BaseModel):
    """A zone of the site; each camera that sees it draws its own polygon under the same name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: ZoneId = Field(description="Name, used by cameras and stamped into events.")
    name: str = Field(default="", max_length=100, description="What people call it.")
    policy: str | None = Field(default=None, description="Id of the policy inside; none leaves the camera's.")
    test_point: TestPoint = Field(default="bottom", description="Which point of a face's box must lie inside.")
    inertia_frames: int = Field(default=2, ge=1, le=100, description="Frames in a row inside before it counts.")
    inertia_s: float = Field(default=0.3, ge=0, le=60, description="Seconds inside before it counts.")


def deciding_point(box: Box, kind: TestPoint) -> tuple[float, float]:
    """Give the point of a relative box x1 y1 x2 y2 that decides, moved into the picture where it lies outside."""
    x1, y1, x2, y2 = box
    y = y2 if kind == "bottom" else y1 if kind == "top" else (y1 + y2) / 2
    return min(1.0, max(0.0, (x1 + x2) / 2)), min(1.0, max(0.0, y))


def contains(corners: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Say whether a point lies in a polygon; points on its edge do."""
    inside = False
    x0, y0 = corners[-1]
    for x1, y1 in corners:
        turn = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        between = min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1)
        if between and abs(turn) < 1e-12:
            return True
        if (y0 > y) != (y1 > y) and (turn > 0) == (y1 > y0):
            inside = not inside
        x0, y0 = x1, y1
    return inside


def area(corners: Sequence[tuple[float, float]]) -> float:
    """Give a polygon's share of the picture, 0 to 1."""
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Say whether two edges without a common corner meet."""
    sides = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    ends = zip(sides, ((a, b, c), (a, b, d), (c, d, a), (c, d, b)), strict=True)
    return any(side == 0 and _between(*points) for side, points in ends)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
