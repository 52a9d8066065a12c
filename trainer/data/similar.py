"""Near-duplicate pictures: a difference hash of each, and groups of those whose hashes nearly agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.images import Picture, resize

HASH_SIDE = 16
MAX_DISTANCE = 26  # of 256 bits; see docs/adr/0020
_ROWS_AT_ONCE = 256

Hash = NDArray[np.uint64]


def difference_hash(picture: Picture) -> Hash:
    """Say of 16 × 16 places whether the picture gets brighter to the right: uint64, (4,), 256 bits.

    Args:
        picture: uint8, (H, W, 3), BGR.
    """
    small = resize(picture, (HASH_SIDE + 1, HASH_SIDE)).astype(np.int32)
    grey = small @ np.array([29, 150, 77])
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return np.packbits(bits).view(np.uint64)


def group_similar(hashes: NDArray[np.uint64], max_distance: int = MAX_DISTANCE) -> NDArray[np.int64]:
    """Put pictures whose hashes differ in few bits into one group, and the neighbours of neighbours with them.

    Args:
        hashes: uint64, (M, 4).
        max_distance: Bits that may differ.

    Returns:
        int64, (M,): each picture's group, named by the index of its first member.
    """
    parent = np.arange(len(hashes))
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        rows = hashes[start : start + _ROWS_AT_ONCE]
        rest = hashes[start:]
        distance = np.zeros((len(rows), len(rest)), np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(rows[:, word, None] ^ rest[None, :, word])
        for row, other in np.argwhere(distance <= max_distance):
            if other > row:
                _join(parent, start + int(row), start + int(other))
    return np.array([_root(parent, index) for index in range(len(parent))], np.int64)


def _root(parent: NDArray[np.int64], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _join(parent: NDArray[np.int64], a: int, b: int) -> None:
    first, second = sorted((_root(parent, a), _root(parent, b)))
    parent[second] = first
