"""Divide pictures into training and validation by group, so that near-duplicates never lie on both sides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from common.errors import TrainingError

Split = Literal["train", "val"]


def split_by_group(groups: Sequence[Hashable], strata: Sequence[str], val: float, seed: int) -> list[Split]:
    """Choose whole groups for validation until each kind of picture has its share there.

    Args:
        groups: Group of each picture.
        strata: Kind of each picture (its label); a group counts as the kind of its first picture.
        val: Share of the pictures of a kind, 0..1; a kind of two or more groups gets at least one on each side.
        seed: Seed of the choice.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    kinds: dict[str, list[Hashable]] = {}
    for group, indices in members.items():
        kinds.setdefault(strata[indices[0]], []).append(group)
    sides: list[Split] = ["train"] * len(groups)
    random = np.random.default_rng(seed)
    for kind in sorted(kinds):
        order = [kinds[kind][i] for i in random.permutation(len(kinds[kind]))]
        wanted = val * sum(len(members[group]) for group in order)
        taken = 0
        for group in order[:-1]:  # the last one always stays in training
            if taken >= wanted:
                break
            for index in members[group]:
                sides[index] = "val"
            taken += len(members[group])
    return sides


def check_leak(groups: Sequence[Hashable], sides: Sequence[str], files: Sequence[str], where: str) -> None:
    """Refuse a split with near-duplicates on both sides.

    Raises:
        TrainingError: Names the first such group's files and counts the others.
    """
    seen: dict[Hashable, dict[str, list[str]]] = {}
    for group, side, file in zip(groups, sides, files, strict=True):
        seen.setdefault(group, {}).setdefault(side, []).append(file)
    leaks = [(group, by_side) for group, by_side in seen.items() if len(by_side) > 1]
    if not leaks:
        return
    group, by_side = leaks[0]
    named = ", ".join(f"{side}: {' '.join(names[:3])}" for side, names in sorted(by_side.items()))
    more = f"; {len(leaks) - 1} more groups leak" if len(leaks) > 1 else ""
    raise TrainingError(f"{where}: group {group} is in both train and val; near-duplicates would leak ({named}){more}")
