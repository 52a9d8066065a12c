"""A plan that is larger than anything tried is named plainly, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.scale import TRIED_CAMERAS, beyond_trial, few_partitions, scale_advice, wanted_partitions
from maskwatch.status.situation import CameraFacts, Situation
from maskwatch.status.troubles import troubles
from producers.share import share_of


@pytest.mark.parametrize(
    ("cameras", "partitions"), [(0, 16), (100, 16), (101, 64), (1000, 64), (1001, 128), (2000, 128)]
)
def test_partitions_that_suit(cameras: int, partitions: int) -> None:
    assert wanted_partitions(cameras) == partitions
    assert few_partitions(cameras, partitions) == ""


def test_what_was_tried_is_no_cause_for_advice() -> None:
    assert scale_advice(100, 16) == []
    assert scale_advice(TRIED_CAMERAS, 64) == []


def test_two_thousand_cameras_are_named_with_the_limit_and_what_to_do() -> None:
    words = beyond_trial(2000)
    for part in ("2000 cameras", "1000", "--shard 1/2", "bench capacity --cameras 2000", "128 partitions", "PREFIX"):
        assert part in words
    assert len(scale_advice(2000, 16)) == 2
    shares = [share_of(f"cam-{number}", 2) for number in range(2000)]
    assert max(shares.count(1), shares.count(2)) <= 1.1 * TRIED_CAMERAS, "the advice would not help"


def test_status_names_a_large_plan_without_waking_anybody() -> None:
    now = Situation(partitions=0, cameras={f"c{n}": CameraFacts("online", fps_processed=5) for n in range(2000)})
    (found,) = troubles(now)
    assert (found.alert, found.weight) == ("PlanLarge", "ticket")
    assert "2000" in found.words
    assert "### PlanLarge\n" in (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()
