"""Which new labels are not believed: near-duplicates that contradict each other, and origins that label upside down.

A wrong label cannot be told from a mistake of the model by looking at one crop: correcting the model is what feedback
is for. What gives poison away is the pattern: contradictions between near-duplicates, and an origin (an operator, a
camera) that contradicts what the model is sure of in both directions at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.service.settings import ScrutinyLimits

NO_MASK = LABELS.index("no_mask")
MASK = LABELS.index("mask")
MAJORITY = 2 / 3
LEAST_VOTES = 3
SHARE_OUTVOTED = 1 / 3
LEAST_OUTVOTED = 3

Origin = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Labelling:
    """The new labels, and what speaks for or against them.

    Attributes:
        labels: int64, (M,).
        groups: Near-duplicate group of each.
        origins: Kind and name of each's origins, such as ``("operator", "ana")``.
        chances: float32, (M, 3), what the model in force says, calibrated.
        believed: Group to labels of crops that were accepted before.
    """

    labels: NDArray[np.int64]
    groups: Sequence[str]
    origins: Sequence[Sequence[Origin]]
    chances: FloatArray
    believed: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Doubts:
    """What is not believed.

    Attributes:
        reasons: Index of a label to the reason.
        remarks: What a person should look at although it is believed; guarded promotion does not go on with these.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def scrutinise(labelling: Labelling, limits: ScrutinyLimits) -> Doubts:
    """Go through new labels and say which are not believed, and why."""
    doubts = Doubts()
    outvoted = _contradictions(labelling, doubts)
    members: dict[Origin, list[int]] = defaultdict(list)
    for index, origins in enumerate(labelling.origins):
        for origin in origins:
            members[origin].append(index)
    for origin in sorted(members, key=lambda one: one[0] != "operator"):  # before the camera, who is not to blame
        indices = [index for index in members[origin] if index not in doubts.reasons]
        reason = _upside_down(labelling, indices, limits) or _often_outvoted(members[origin], outvoted)
        if reason:
            for index in indices:
                doubts.reasons[index] = f"{origin[0]} {origin[1]}: {reason}"
        else:
            _one_way(labelling, (origin, indices), limits, doubts)
    return doubts


def _contradictions(labelling: Labelling, doubts: Doubts) -> set[int]:
    """Put the losing side of every contradictory group in quarantine, all of it where nobody clearly wins."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(labelling.groups):
        members[group].append(index)
    outvoted: set[int] = set()
    for group, indices in members.items():
        votes = Counter(labelling.believed.get(group, ())) + Counter(int(labelling.labels[i]) for i in indices)
        if len(votes) < 2:
            continue
        winner, count = votes.most_common(1)[0]
        total = sum(votes.values())
        clear = total >= LEAST_VOTES and count / total >= MAJORITY
        for index in indices:
            if not clear:
                doubts.reasons[index] = "near-duplicates are labelled differently, and neither side clearly prevails"
            elif labelling.labels[index] != winner:
                doubts.reasons[index] = f"{count} of {total} near-duplicates are labelled {LABELS[winner]}"
                outvoted.add(index)
    return outvoted


def _upside_down(labelling: Labelling, indices: list[int], limits: ScrutinyLimits) -> str:
    """Give the reason if what the model is sure of is contradicted both ways."""
    labels, sure, said = _seen(labelling, indices, limits)
    bare, masked = sure & (said == NO_MASK), sure & (said == MASK)
    least = max(1, limits.least // 2)
    if bare.sum() < least or masked.sum() < least:
        return ""
    ways = (labels[bare] == MASK).mean(), (labels[masked] == NO_MASK).mean()
    if min(ways) < limits.share:
        return ""
    return (
        f"{ways[0]:.0%} of {bare.sum()} surely bare faces are labelled mask and {ways[1]:.0%} of {masked.sum()} "
        "surely masked ones no_mask; labels look exchanged"
    )


def _often_outvoted(indices: list[int], outvoted: set[int]) -> str:
    lost = len(outvoted.intersection(indices))
    if lost < LEAST_OUTVOTED or lost / len(indices) < SHARE_OUTVOTED:
        return ""
    return f"{lost} of {len(indices)} labels contradict other labels of near-duplicates"


def _one_way(labelling: Labelling, member: tuple[Origin, list[int]], limits: ScrutinyLimits, doubts: Doubts) -> None:
    """Remark that one operator alone says that surely bare faces are masked: right for a new kind of mask, or not."""
    origin, indices = member
    labels, sure, said = _seen(labelling, indices, limits)
    against = sure & (said == NO_MASK) & (labels == MASK)
    if origin[0] != "operator" or against.sum() < limits.least or against.mean() < limits.share:
        return
    doubts.remarks.append(
        f"operator {origin[1]}: {against.sum()} of {len(indices)} labels say mask where the model is sure of none; "
        "look at them before the candidate is promoted"
    )


def _seen(
    labelling: Labelling, indices: list[int], limits: ScrutinyLimits
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    chances = labelling.chances[indices]
    return labelling.labels[indices], chances.max(axis=1) >= limits.sure, chances.argmax(axis=1)
