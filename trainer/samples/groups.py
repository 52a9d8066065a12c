"""Which samples belong together, and on which side of the split they stay. No files.

A group is an episode with all its near-duplicates. Its side is drawn once, from its name. Where a new sample joins two
groups, both become one, in training if either was there: what a network has learnt from must never come to judge it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.similar import MAX_DISTANCE, Hash
from trainer.data.split import Split


@dataclass(frozen=True, slots=True)
class Member:
    """A sample as far as grouping is concerned."""

    subject: str
    group: str
    split: Split
    look: Hash


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a new sample goes; ``joined`` are groups that become part of its group, on its side."""

    group: str
    split: Split
    joined: frozenset[str] = frozenset()


def place(subject: str, look: Hash, members: Sequence[Member], val: float) -> Placing:
    """Find the group of a new sample.

    Args:
        subject: Its episode, or the reference of its picture.
        look: uint64, (4,), its difference hash.
        members: The samples there are.
        val: Share of groups that are kept for validation, 0 to 1.
    """
    near: dict[str, Split] = {}
    if members:
        looks = np.stack([member.look for member in members])
        distance = np.bitwise_count(looks ^ look[None]).sum(axis=1, dtype=np.int64)
        for member, bits in zip(members, distance, strict=True):
            if bits <= MAX_DISTANCE or member.subject == subject:
                near[member.group] = member.split
    if not near:
        group = hashlib.sha256(subject.encode()).hexdigest()[:16]
        return Placing(group, side_of(group, val))
    first = min(near, key=lambda group: (near[group] != "train", group))
    return Placing(first, near[first], frozenset(near) - {first})


def side_of(group: str, val: float) -> Split:
    """Draw a group's side from its name; anybody gets the same answer at any time."""
    drawn = int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest())
    return "val" if drawn < val * 2**64 else "train"


def contradictory(labels: Mapping[str, set[str]]) -> set[str]:
    """Name the pictures, by content, to which different labels were given."""
    return {sha for sha, given in labels.items() if len(given) > 1}
