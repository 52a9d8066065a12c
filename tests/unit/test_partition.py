"""Cameras spread over partitions evenly, the same everywhere, and few move when partitions are added."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from common.partition import Keys, partition_of, share_of

CAMERAS = [f"cam-{number}" for number in range(1000)]


def test_every_process_agrees_on_a_camera() -> None:
    code = "from common.partition import partition_of; print(partition_of('gate-1', 16))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{partition_of('gate-1', 16)}\n"}


def test_a_thousand_cameras_spread_evenly() -> None:
    counts = Counter(partition_of(camera, 16) for camera in CAMERAS)
    assert len(counts) == 16
    assert max(counts.values()) < 2 * min(counts.values())


def test_with_one_partition_more_a_camera_stays_or_moves_to_the_new_one() -> None:
    for camera in CAMERAS:
        assert partition_of(camera, 17) in (partition_of(camera, 16), 16)


def test_shares_are_disjoint_and_cover_all() -> None:
    shares = [share_of(16, index, 3) for index in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(16))


def test_keys_of_a_partition_share_one_tag_and_name_the_camera() -> None:
    keys = Keys("mw", 16)
    number = keys.partition_of("gate-1")
    tag = f"mw:{{p{number:02d}}}"
    named = [keys.frames("gate-1"), keys.results(number), keys.owner(number), keys.state(number), keys.events(number)]
    assert all(key.startswith(tag) for key in named)
    assert len(set(named)) == len(named)
    assert keys.camera_of(keys.frames("gate-1")) == "gate-1"
