"""Turns a frame and one of its faces into a small picture in which nobody else can be recognised, or into none at all.

What the detector found in the whole frame is hidden first. Then it looks at the small picture itself, enlarged, and
what it finds there, however faintly, is hidden too, until it finds nobody but the subject. A picture that cannot be
brought so far is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.geometry import FloatArray, iou_matrix
from common.images import Picture, resize
from common.models.decode import Detections
from workers.infer.pictures.blurring import BLOCKS, hide

LONG_SIDE_PX = 320
LEAST_SIDE_PX = 48
FAINT_SHARE = 0.3
ROUNDS = 4
_SUBJECT_IOU = 0.4
_ACROSS, _DOWN = 1.5, 1.0  # how much is shown beside and above the face, in its longer side
Find = Callable[[Sequence[Picture], float], list[Detections]]


class Shot(NamedTuple):
    """What is to be pictured.

    Attributes:
        picture: uint8, (H, W, 3), BGR, the whole frame.
        subject: float32, (4,), the face, x1 y1 x2 y2, px of ``picture``.
        others: float32, (K, 4), all other faces that were found.
        redacted: Whether the subject is hidden, too.
    """

    picture: Picture
    subject: FloatArray
    others: FloatArray
    redacted: bool


@dataclass(slots=True)
class _Draft:
    picture: Picture
    subject: FloatArray
    redacted: bool
    clean: bool = False


def portraits(shots: Sequence[Shot], find: Find, min_score: float) -> list[Picture | None]:
    """Make the pictures of several faces with as few looks of the detector as possible.

    Args:
        shots: What is to be pictured; the frames are not changed.
        find: Finds faces from a score on, in px of each picture.
        min_score: Score from which on something counts as a face.

    Returns:
        For each shot uint8, (h, w, 3), BGR, at most 320 px; None where somebody else could still be found.
    """
    drafts = [_draft(shot) for shot in shots]
    for turn in range(ROUNDS):
        open_ones = [draft for draft in drafts if not draft.clean]
        if not open_ones:
            break
        found = find([draft.picture for draft in open_ones], FAINT_SHARE * min_score)
        for draft, faces in zip(open_ones, found, strict=True):
            _settle(draft, faces, min_score, blocks=BLOCKS if turn == 0 else 1)
    return [draft.picture if draft.clean else None for draft in drafts]


def _draft(shot: Shot) -> _Draft:
    left, top, right, bottom = _region(shot)
    part = shot.picture[top:bottom, left:right]
    scale = min(1.0, LONG_SIDE_PX / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = np.array(resize(part, size))  # never a view: the frame itself is not ours to change
    corner = np.array([left, top, left, top], np.float32)
    others, subject = (shot.others - corner) * scale, (shot.subject - corner) * scale
    hide(small, others)
    if shot.redacted:
        hide(small, [subject])
    return _Draft(small, subject, shot.redacted)


def _region(shot: Shot) -> tuple[int, int, int, int]:
    height, width = shot.picture.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in shot.subject)
    side = max(x2 - x1, y2 - y1, LEAST_SIDE_PX / 2)
    left, right = max(0, round(x1 - _ACROSS * side)), min(width, round(x2 + _ACROSS * side))
    top, bottom = max(0, round(y1 - _DOWN * side)), min(height, round(y2 + _DOWN * side))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _settle(draft: _Draft, faces: Detections, min_score: float, blocks: int) -> None:
    """Hide whoever is still found; the draft is clean once a look finds nobody to hide."""
    own = -1 if draft.redacted else subject_among(draft.subject, faces.boxes)
    hidden = [
        box
        for index, (box, score) in enumerate(zip(faces.boxes, faces.scores, strict=True))
        if index != own and (draft.redacted or not _belongs(draft.subject, box, float(score) >= min_score))
    ]
    draft.clean = not hidden
    hide(draft.picture, hidden, blocks)


def subject_among(subject: FloatArray, boxes: FloatArray) -> int:
    """Say which of the boxes is the subject, at most one; -1 where none is."""
    if not len(boxes):
        return -1
    overlap = iou_matrix(subject[None], boxes)[0]
    best = int(overlap.argmax())
    return best if overlap[best] >= _SUBJECT_IOU else -1


def _belongs(subject: FloatArray, box: FloatArray, certain: bool) -> bool:
    """Say whether something faint is only a part of the subject's own face, such as an eye or the mask."""
    if certain:
        return False
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(subject[0] < x < subject[2] and subject[1] < y < subject[3])
