"""How far two ways of looking at the same frames lie apart, face by face. Pure counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from common.geometry import iou_matrix
from workers.infer.vision.face import Face

SAME_FACE_IOU = 0.5
MOST_UNMATCHED, LEAST_IOU, MOST_SCORE, MOST_PROBABILITY, MOST_CHANGED = 0.005, 0.85, 0.1, 0.1, 0.005
"""Tolerances: faces that only one side has, as a share; the 1 % worst overlap of faces that both have; the 99th
percentile of differences of scores and of probabilities; verdicts that differ, as a share."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison came to.

    Attributes:
        faces: On the reference's side.
        only_here: Faces that only the compared side has.
        only_there: Faces that only the reference has.
        iou_low: Overlap of matched faces that 99 % of them reach.
        score_off: Difference of scores that 99 % of them keep within.
        probability_off: The same of the largest difference of a face's probabilities.
        verdicts_changed: Matched faces whose most probable label differs.
    """

    faces: int
    only_here: int
    only_there: int
    iou_low: float
    score_off: float
    probability_off: float
    verdicts_changed: int

    def within(self) -> bool:
        """Say whether the two agree within the tolerances."""
        faces = max(1, self.faces)
        return (
            (self.only_here + self.only_there) / faces <= MOST_UNMATCHED
            and self.iou_low >= LEAST_IOU
            and self.score_off <= MOST_SCORE
            and self.probability_off <= MOST_PROBABILITY
            and self.verdicts_changed / faces <= MOST_CHANGED
        )

    def as_dict(self) -> dict[str, Any]:
        """Give all figures and whether they are within the tolerances."""
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}
        return {**rounded, "within": self.within()}


def compare(here: Sequence[Sequence[Face]], there: Sequence[Sequence[Face]]) -> Parity:
    """Compare faces found in the same frames.

    Args:
        here: One list for each frame.
        there: The reference's.
    """
    pairs: list[tuple[float, Face, Face]] = []
    for ours, theirs in zip(here, there, strict=True):
        pairs += _matched(ours, theirs)
    total_here, total_there = sum(map(len, here)), sum(map(len, there))
    scores = [abs(a.score - b.score) for _, a, b in pairs]
    chances = [max(abs(p - q) for p, q in zip(a.probabilities, b.probabilities, strict=True)) for _, a, b in pairs]
    return Parity(
        faces=total_there,
        only_here=total_here - len(pairs),
        only_there=total_there - len(pairs),
        iou_low=_share([iou for iou, _, _ in pairs], 0.01, 1.0),
        score_off=_share(scores, 0.99, 0.0),
        probability_off=_share(chances, 0.99, 0.0),
        verdicts_changed=sum(a.label != b.label for _, a, b in pairs),
    )


def _share(values: Sequence[float], share: float, of_none: float) -> float:
    return float(np.quantile(values, share)) if values else of_none


def _matched(ours: Sequence[Face], theirs: Sequence[Face]) -> list[tuple[float, Face, Face]]:
    """Pair faces, the best overlap first."""
    if not ours or not theirs:
        return []
    overlap = iou_matrix(np.array([face.box for face in ours]), np.array([face.box for face in theirs]))
    pairs = []
    for flat in np.argsort(-overlap, axis=None):
        row, column = divmod(int(flat), len(theirs))
        if overlap[row, column] < SAME_FACE_IOU:
            break
        pairs.append((float(overlap[row, column]), ours[row], theirs[column]))
        overlap[row], overlap[:, column] = 0, 0
    return pairs
