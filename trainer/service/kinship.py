"""Which crops belong together: near-duplicates share a side of the split, and twins should share a label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.images import resize
from trainer.data.similar import difference_hash, group_similar
from trainer.data.split import split_by_group

THUMB_PX = 16
TWIN_LEVELS = 8.0
"""Root mean square difference of thumbnails, in levels of 255, below which two crops are the same picture."""
_ROWS = 512


def families(patches: NDArray[np.uint8], groups: Sequence[str]) -> NDArray[np.int64]:
    """Join crops of one group, and groups with near-duplicates: int64, (M,), each named by its first member."""
    if not len(patches):
        return np.zeros(0, np.int64)
    alike = group_similar(np.stack([difference_hash(patch) for patch in patches]))
    first: dict[tuple[str, object], int] = {}
    root = np.arange(len(patches))
    for index, (group, near) in enumerate(zip(groups, alike.tolist(), strict=True)):
        for key in (("group", group), ("alike", near)):
            _join(root, first.setdefault(key, index), index)
    return np.array([_find(root, index) for index in range(len(root))], np.int64)


def twins(patches: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Join crops that are the same picture but for noise: int64, (M,), each named by its first member."""
    root = np.arange(len(patches))
    if not len(patches):
        return root
    thumbs = np.stack([resize(patch, (THUMB_PX, THUMB_PX)).ravel() for patch in patches]).astype(np.float32)
    squares = (thumbs**2).sum(axis=1)
    limit = TWIN_LEVELS**2 * thumbs.shape[1]
    for start in range(0, len(thumbs), _ROWS):
        rows = thumbs[start : start + _ROWS]
        distance = squares[start : start + _ROWS, None] + squares[None, start:] - 2 * rows @ thumbs[start:].T
        for row, other in np.argwhere(distance < limit):
            if other > row:
                _join(root, start + int(row), start + int(other))
    return np.array([_find(root, index) for index in range(len(root))], np.int64)


def hold_out(
    kin: NDArray[np.int64], labels: Sequence[str], decided: Sequence[bool | None], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose whole families that are never learnt from: bool, (M,).

    Args:
        kin: Family of each crop.
        labels: Label of each.
        decided: What was decided of it before; None: nothing. Its family is held out only if all of these were.
        share: Share of the new ones.
        seed: Of the choice.
    """
    held = np.zeros(len(kin), np.bool_)
    known: dict[int, bool] = {}
    for family, before in zip(kin.tolist(), decided, strict=True):
        if before is not None:
            known[family] = known.get(family, True) and before
    free: dict[int, list[int]] = defaultdict(list)
    for index, family in enumerate(kin.tolist()):
        if family in known:
            held[index] = known[family]
        else:
            free[family].append(index)
    indices = [index for members in free.values() for index in members]
    sides = split_by_group([int(kin[i]) for i in indices], [labels[i] for i in indices], share, seed)
    held[[index for index, side in zip(indices, sides, strict=True) if side == "val"]] = True
    return held


def _find(root: NDArray[np.int64], index: int) -> int:
    while root[index] != index:
        root[index] = root[root[index]]
        index = int(root[index])
    return index


def _join(root: NDArray[np.int64], one: int, other: int) -> None:
    low, high = sorted((_find(root, one), _find(root, other)))
    root[high] = low
