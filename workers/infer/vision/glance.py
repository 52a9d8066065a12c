"""Where a second look pays: a glance at half size finds large faces, and places that may hold small ones.

Coarse to fine as in AutoFocus (Najibi, Singh and Davis, ICCV 2019): on the half canvas the detector's focus head says
where faces may be that are too small for it, and what the detector itself is unsure of is looked at again, too.
``docs/adr/0053`` says how the bounds were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, suppress_overlaps
from common.images import paste, scale
from common.models.decode import Detections
from workers.infer.vision.patches import PATCH_PX, Corner, patches_over, uncut

LEAST_SCORE, LEAST_SCORE_SMALL = 0.05, 0.2
"""From this score on, an answer of the glance is looked at again; from the second one where the focus map helps."""
SMALL_PX = 20
"""Below this longer side, px of the glance, the focus map knows better than the score."""
CELL_PX = 16
"""Side of a cell of the focus map, px of the canvas."""
REACH_PX = 12
"""A place is as far around the middle of its cell, px of the canvas."""
SURE_SCORE, SURE_PX = 0.8, 14
"""A face of this score and longer side, px of the glance, is taken as it is."""
LARGE_PX = 40
"""From this longer side on, px of the glance, a second look would see no more."""
KNOWN_SCORE, MOST_INSIDE = 0.5, 0.5
"""What lies by more than that share inside a face that the glance found, and that its patch cuts, is a part of it."""
LEAST_CANVAS_PX = 480
"""Below this long side half a canvas shows too little."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a glance at one canvas gave.

    Attributes:
        faces: Those that need no second look, canvas px.
        patches: Upper left corners (x, y), canvas px, of squares of `PATCH_PX` to look at; None: the whole canvas.
    """

    faces: Detections
    patches: tuple[Corner, ...] | None


def worth_a_glance(canvas: tuple[int, int]) -> bool:
    """Say whether a canvas (width, height), px, is large enough to be glanced at first."""
    return max(canvas) >= LEAST_CANVAS_PX and min(canvas) >= PATCH_PX


def half_of(canvas: tuple[int, int]) -> tuple[int, int]:
    """Give the (width, height), px, on which a canvas is glanced at: half of it, in multiples of 32."""
    return _half(canvas[0]), _half(canvas[1])


def halved(canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink canvases to half their size, black below and right where that is no multiple of 32.

    Args:
        canvases: uint8, (B, H, W, 3), BGR; H and W multiples of 32.

    Returns:
        uint8, (B, h, w, 3), BGR; h and w multiples of 32.
    """
    count, height, width = canvases.shape[:3]
    half = np.empty((count, _half(height), _half(width), 3), np.uint8)
    for one, target in zip(canvases, half, strict=True):
        paste(scale(one, (width // 2, height // 2)), target)
    return half


def plan(found: Detections, focus: FloatArray, canvas: tuple[int, int]) -> Glance:
    """Say what of a glance is settled, and where to look again.

    Args:
        found: What the detector found on the half canvas, its px, from `LEAST_SCORE` on.
        focus: float32, (K, 4), x1 y1 x2 y2, canvas px: places where small faces may be, see `focus_places`.
        canvas: (width, height), px.
    """
    longer = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    sure = (found.scores >= SURE_SCORE) & (longer >= SURE_PX)
    doubtful = found.scores >= np.where(longer < SMALL_PX, LEAST_SCORE_SMALL, LEAST_SCORE)
    again = doubtful & (longer < LARGE_PX) & ~sure
    faces = Detections(found.boxes[~again] * 2, found.scores[~again], found.landmarks[~again] * 2)
    known = faces.boxes[faces.scores >= KNOWN_SCORE]
    if len(focus) and len(known):
        focus = focus[~_middle_inside(focus, known)]
    return Glance(faces, patches_over(np.concatenate([found.boxes[again] * 2, focus]), canvas))


def focus_places(chances: FloatArray, least: float) -> FloatArray:
    """Give the places at which the focus map peaks.

    Args:
        chances: float32, (h, w), 0..1, of cells of `CELL_PX`.
        least: Lower peaks are none, 0..1.

    Returns:
        float32, (K, 4), x1 y1 x2 y2, canvas px, highest first.
    """
    if not (chances >= least).any():
        return np.empty((0, 4), np.float32)
    around = cv2.dilate(chances, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((chances >= least) & (chances >= around))
    order = np.argsort(-chances[rows, columns], kind="stable")
    middles = (np.stack([columns, rows], axis=1)[order] + 0.5) * CELL_PX
    places: FloatArray = np.concatenate([middles - REACH_PX, middles + REACH_PX], axis=1).astype(np.float32)
    return places


def _middle_inside(places: FloatArray, faces: FloatArray) -> NDArray[np.bool_]:
    middles = (places[:, None, :2] + places[:, None, 2:]) / 2
    beyond = np.maximum(faces[:, :2] - middles, middles - faces[:, 2:]).max(axis=2)
    nearest: FloatArray = beyond.min(axis=1, initial=np.inf)
    return nearest <= 0


def put_together(glance: Glance, looks: Sequence[Detections], canvas: tuple[int, int], max_iou: float) -> Detections:
    """Put together what a glance and the second looks at its patches found on one canvas.

    Args:
        glance: Whose patches were looked at.
        looks: What was found on each, px of the patch.
        canvas: (width, height), px.
        max_iou: Two faces overlap by at most this, 0..1.

    Returns:
        Best first, canvas px.
    """
    if not looks:
        return glance.faces
    parts = [glance.faces]
    known = glance.faces.boxes[glance.faces.scores >= KNOWN_SCORE]
    for corner, look in zip(glance.patches or (), looks, strict=True):
        shift = np.array(corner, np.float32)
        boxes = look.boxes + np.tile(shift, 2)
        cut_off = known[~uncut(known - np.tile(shift, 2), corner, canvas)]
        whole = uncut(look.boxes, corner, canvas) & (_share_inside(boxes, cut_off) <= MOST_INSIDE)
        parts.append(Detections(boxes[whole], look.scores[whole], look.landmarks[whole] + shift))
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    kept = suppress_overlaps(boxes, scores, max_iou)
    return Detections(boxes[kept], scores[kept], np.concatenate([part.landmarks for part in parts])[kept])


def _share_inside(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Give, for each box, the largest share of its area that lies in one of the others."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, None).prod(axis=1)
    share: FloatArray = (common / area[:, None]).max(axis=1, initial=0)
    return share


def _half(side: int) -> int:
    return -(-side // 64) * 32
