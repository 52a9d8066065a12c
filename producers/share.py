"""Which cameras of the plan a process serves: by name, by share, or all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from common.advice import nearest
from common.errors import ConfigError
from common.siteplan import Camera, SitePlan


def choose(plan: SitePlan, names: Sequence[str], shard: str) -> list[Camera]:
    """Pick the cameras, in the plan's order; names first, then the share of what they leave.

    Args:
        plan: All cameras.
        names: Camera ids; empty: all.
        shard: ``i/n`` with i from 1 to n; empty: all. A camera's share depends on its id and n alone.

    Raises:
        ConfigError: A name that is not in the plan, or a share that does not exist.
    """
    known = [camera.id for camera in plan.cameras]
    for name in missing(plan, names):
        raise ConfigError(f"producer.cameras: the plan has no camera '{name}'{nearest(name, known)}")
    return follow(plan, names, shard)


def missing(plan: SitePlan, names: Sequence[str]) -> list[str]:
    """Give the names that the plan does not have."""
    known = {camera.id for camera in plan.cameras}
    return [name for name in names if name not in known]


def follow(plan: SitePlan, names: Sequence[str], shard: str) -> list[Camera]:
    """Pick as `choose` does, from a plan that came later: a name that has left it picks nothing.

    Raises:
        ConfigError: A share that does not exist.
    """
    chosen = [camera for camera in plan.cameras if not names or camera.id in names]
    if not shard:
        return chosen
    index, count = _share(shard)
    return [camera for camera in chosen if share_of(camera.id, count) == index]


def check(shard: str) -> None:
    """Say of a share whether it exists; empty is all.

    Raises:
        ConfigError: It does not.
    """
    if shard:
        _share(shard)


def share_of(camera: str, count: int) -> int:
    """Give the share, 1 to ``count``, that a camera falls to by rendezvous hash; one share more moves few cameras."""
    return max(range(1, count + 1), key=lambda number: _weight(camera, number))


def _share(shard: str) -> tuple[int, int]:
    first, _, second = shard.partition("/")
    if not (first.isdecimal() and second.isdecimal()) or not 1 <= int(first) <= int(second):
        raise ConfigError(f"producer.shard: '{shard}' is no share; write i/n with i from 1 to n, such as 1/3")
    return int(first), int(second)


def _weight(camera: str, number: int) -> bytes:
    return hashlib.blake2b(f"producer\x00{number}\x00{camera}".encode(), digest_size=8).digest()
