"""What one installation was tried with, and what to do where a plan goes beyond it. Pure."""

from __future__ import annotations

import math

from common.partition import DEFAULT_PARTITIONS

TRIED_CAMERAS = 1000
"""Cameras of a plan in the largest installation that was tried; see ``docs/reliability.md``, row 30."""
_FEW_CAMERAS = 100
_PARTITIONS_A_THOUSAND = 64


def wanted_partitions(cameras: int) -> int:
    """Give the partition count that suits a number of cameras: 16 up to 100, then 64 for each thousand."""
    if cameras <= _FEW_CAMERAS:
        return DEFAULT_PARTITIONS
    return _PARTITIONS_A_THOUSAND * math.ceil(cameras / TRIED_CAMERAS)


def beyond_trial(cameras: int) -> str:
    """Say what to do about more cameras than were ever tried; empty where they were."""
    if cameras <= TRIED_CAMERAS:
        return ""
    shares = math.ceil(cameras / TRIED_CAMERAS)
    return (
        f"the plan has {cameras} cameras; at most {TRIED_CAMERAS} in one installation were tried. "
        f"Run {shares} producers or more, each with its share (--shard 1/{shares} to {shares}/{shares}), as many infer "
        f"workers as `maskwatch bench capacity --cameras {cameras}` says, and {wanted_partitions(cameras)} partitions; "
        f"or make {shares} installations of it, each with its own MASKWATCH_PREFIX"
    )


def few_partitions(cameras: int, partitions: int) -> str:
    """Say what to do about too few partitions; empty where they are enough."""
    wanted = wanted_partitions(cameras)
    if partitions >= wanted:
        return ""
    return (
        f"{cameras} cameras in {partitions} partitions: at most {partitions} judges can share them; {wanted} suit so "
        f"many. The number is fixed at the first start: MASKWATCH_PARTITIONS={wanted}, with another MASKWATCH_PREFIX "
        f"where {partitions} are stored already"
    )


def scale_advice(cameras: int, partitions: int) -> list[str]:
    """Give everything that should be said of a plan's size, a sentence or two each; empty for most plans."""
    return [words for words in (beyond_trial(cameras), few_partitions(cameras, partitions)) if words]
