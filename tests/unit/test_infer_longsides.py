"""At what size faces of each camera are looked for, as plans come and go."""

from __future__ import annotations

import pytest

from common.errors import SitePlanError
from common.siteplan import Camera, SitePlan, parse_plan
from workers.infer.longsides import LongSides


def plan(**wanted: int | None) -> SitePlan:
    return SitePlan(site="s", cameras=[Camera(id=name, source="x", detect_px=px) for name, px in wanted.items()])


def test_the_plan_decides_and_the_setting_stands_in() -> None:
    sides = LongSides(480)
    assert sides.of(["gate", "hall"]) == [480, 480]
    sides.follow(plan(gate=320, hall=None, far=960))
    assert sides.of(["far", "gate", "hall", "unheard-of"]) == [960, 320, 480, 480]
    sides.follow(plan(hall=1280))
    assert sides.of(["gate", "hall"]) == [480, 1280]


@pytest.mark.parametrize("value", [100, 250, 2048, 333])
def test_a_side_that_no_canvas_can_have_is_refused_by_name(value: int) -> None:
    camera = {"id": "gate", "source": "synthetic:hall", "detect_px": value}
    with pytest.raises(SitePlanError, match=r"cameras\[0\]\.detect_px"):
        parse_plan({"site": "s", "cameras": [camera]}, "site.yaml")
