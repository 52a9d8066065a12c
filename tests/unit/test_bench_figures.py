"""Measurements are quoted as medians with their spread, and not at all where the rounds disagree."""

from __future__ import annotations

import math

import pytest

from maskwatch.bench.capacity import Measured, Wanted, largest, needed
from maskwatch.bench.figures import Figure, percentile, ratios
from maskwatch.bench.report import CpuReport

WANTED = Wanted(cameras=100, fps=5.0, size=(1280, 720), objective_ms=250.0)
MEASURED = Measured(cameras=20, p95_ms=90.0, workers=1, memory_mb=400.0, kilobytes=75.0, broker_fps=3000.0)


def report(fps: list[float], cpu_fps: list[float]) -> CpuReport:
    made = CpuReport()
    for name, values in (("fps", fps), ("cpu_fps", cpu_fps)):
        for value in values:
            made.rounds.note(name, value)
    return made


def test_rounds_that_agree_may_be_quoted_and_others_not() -> None:
    assert Figure((100.0, 101.0, 99.0, 100.5)).quotable
    assert not Figure((100.0, 60.0, 130.0, 90.0)).quotable
    assert not Figure((100.0, 100.0)).quotable


def test_a_ratio_is_taken_round_by_round() -> None:
    halved = ratios([100.0, 50.0, 80.0], [200.0, 100.0, 160.0])
    assert halved.median == 0.5
    assert halved.spread == 0.0


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.95))
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 3.0
    assert percentile([1.0], 0.99) == 1.0


def test_a_report_says_when_the_machine_was_too_busy() -> None:
    assert report([150.0, 151.0, 149.0], [152.0, 153.0, 151.0]).troubles() == []
    (scattered,) = report([150.0, 90.0, 200.0], [152.0, 153.0, 151.0]).troubles()
    assert "too far apart" in scattered
    (shared,) = report([75.0, 76.0, 74.0], [152.0, 153.0, 151.0]).troubles()
    assert "shared" in shared


def test_latency_is_not_quoted_where_the_machine_changed_its_speed_meanwhile() -> None:
    made = report([150.0, 151.0, 149.0], [152.0, 153.0, 151.0])
    for p95 in (70.0, 90.0, 130.0):
        made.rounds.note("latency_p95_ms", p95)
    assert made.troubles() == []
    made.rounds.note("latency_p95_ms", 409.0)
    (changed,) = made.troubles()
    assert "p95 was 70 to 409" in changed


def test_what_was_not_measured_is_null() -> None:
    found = report([150.0, 151.0, 149.0], [152.0, 153.0, 151.0]).as_dict()
    assert found["reference_fps"] is None
    assert found["ratio_to_reference"] is None
    assert found["fps_per_core"] == 150.0


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 23, 64])
def test_the_largest_number_that_fits_is_found(limit: int) -> None:
    found = largest(lambda count: count <= limit, most=64, bisections=10)
    assert found == limit


def test_twice_the_cameras_need_twice_of_everything_that_grows_with_them() -> None:
    small = needed(WANTED, MEASURED)
    large = needed(Wanted(200, 5.0, (1280, 720), 250.0), MEASURED)
    assert small.workers == 7  # 500 frames a second, 80 a worker
    assert large.workers == 13
    assert large.network_gbit_s == pytest.approx(2 * small.network_gbit_s, rel=0.02)
    assert large.frames_broker_mb == 2 * small.frames_broker_mb


def test_the_model_refuses_to_plan_on_nothing() -> None:
    with pytest.raises(ValueError, match="not even one"):
        needed(WANTED, Measured(0, 900.0, 1, 400.0, 75.0, 3000.0))
