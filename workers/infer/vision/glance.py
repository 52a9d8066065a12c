"""Where a second look pays: a glance at half size finds large faces, and places that may hold small ones.

Coarse to fine as in AutoFocus (Najibi, Singh and Davis, ICCV 2019): on the half canvas the detector's focus head says
where faces may be that are too small for it, and what the detector itself is unsure of is looked at again, too.
``docs/adr/0053`` says how the bounds were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, Letterbox
from common.images import Picture, halve, paste
from common.models.decode import DetectionBatch
from common.models.preprocess import choose_canvas
from common.models.suppression import suppress_overlaps
from workers.infer.vision.canvas import Canvases
from workers.infer.vision.patches import PATCH_PX, Corner, most_patches, patches_over, uncut

LEAST_SCORE = 0.3
"""From this score on, an answer of the glance that is not sure is looked at again; below, only the focus map counts."""
CELL_PX = 16
"""Side of a cell of the focus map, px of the canvas."""
REACH_PX = 36
"""A place is as far around the middle of its cell, px of the canvas: the face there may be that large."""
SURE_SCORE, SURE_PX = 0.85, 14
"""A face of this score and longer side, px of the glance, is taken as it is."""
LARGE_PX = 40
"""From this longer side on, px of the glance, a second look need not be at full size."""
HUGE_PX = 150
"""From this longer side on, px of the glance, a face does not fit into a patch and is taken as it is."""
MOST_WIDE = 4
"""Most patches of the half canvas."""
KNOWN_SCORE, MOST_INSIDE = 0.5, 0.5
"""What lies by more than that share inside a face that the glance found, and that its patch cuts, is a part of it."""
HEAD, SHOULDERS = (0.5, -1.1, 0.5), (1.0, 0.5, 1.1)
"""What belongs to a known face: to both sides, and from where to where down, in its widths and heights from its middle.
Hats and collars look like small faces (``docs/adr/0063``)."""
LEAST_CANVAS_PX = 480
"""Below this long side half a canvas shows too little."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a glance at several canvases gave.

    Attributes:
        faces: Those that need no second look, canvas px.
        patches: For each canvas, upper left corners (x, y), canvas px, of squares of `PATCH_PX` to look at; None: the
            whole canvas.
        wide: For each canvas, corners of such squares of the half canvas, its px: for large faces.
    """

    faces: DetectionBatch
    patches: tuple[tuple[Corner, ...] | None, ...]
    wide: tuple[tuple[Corner, ...], ...]

    def full_corners(self) -> list[tuple[int, Corner]]:
        """List the patches of all canvases: number of the canvas, and corner."""
        return [(slot, corner) for slot, corners in enumerate(self.patches) for corner in corners or ()]

    def wide_corners(self) -> list[tuple[int, Corner]]:
        """List those of the half canvases."""
        return [(slot, corner) for slot, corners in enumerate(self.wide) for corner in corners]


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look on several canvases.

    Attributes:
        boxes: float32, (K, 4), x1 y1 x2 y2, canvas px.
        owners: intp, (K,): number of the canvas.
    """

    boxes: FloatArray
    owners: NDArray[np.intp]


def worth_a_glance(canvas: tuple[int, int]) -> bool:
    """Say whether a canvas (width, height), px, is large enough to be glanced at first."""
    return max(canvas) >= LEAST_CANVAS_PX and min(canvas) >= PATCH_PX


def half_of(canvas: tuple[int, int]) -> tuple[int, int]:
    """Give the (width, height), px, on which a canvas is glanced at: half of it, in multiples of 32."""
    return _half(canvas[0]), _half(canvas[1])


def ready_half(picture: Picture, canvases: Canvases) -> Picture | None:
    """Give what will be glanced at of a picture that lies on its canvas as it is; None for any other.

    To be asked while the picture is still in the processor's cache: halving it takes half the time then.

    Args:
        picture: uint8, (H, W, 3), BGR.
        canvases: (width, height), px, of which it gets one.

    Returns:
        uint8, (H / 2, W / 2, 3), BGR, sides rounded up.
    """
    size = (picture.shape[1], picture.shape[0])
    canvas = choose_canvas(size, canvases)
    fit = Letterbox.fit(size, canvas)
    return halve(picture) if worth_a_glance(canvas) and (fit.width, fit.height) == size else None


def on_half_canvases(halves: Sequence[Picture], canvas: tuple[int, int]) -> NDArray[np.uint8]:
    """Show pictures on canvases of half the size, black below and right where that is no multiple of 32.

    Args:
        halves: Each uint8, (h, w, 3), BGR, half of what lies in the upper left corner of its canvas.
        canvas: (width, height), px, multiples of 32.

    Returns:
        uint8, (B, H, W, 3), BGR; H and W multiples of 32.
    """
    width, height = half_of(canvas)
    together = np.empty((len(halves), height, width, 3), np.uint8)
    for half, target in zip(halves, together, strict=True):
        paste(half, target)
    return together


def plan(found: DetectionBatch, focus: Places, canvas: tuple[int, int]) -> Glance:
    """Say what of a glance is settled, and where to look again.

    Args:
        found: What the detector found on the half canvases, their px, from `LEAST_SCORE` on.
        focus: Where faces may be, see `focus_places`.
        canvas: (width, height), px.
    """
    longer = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    sure = (found.scores >= SURE_SCORE) & (longer >= SURE_PX)
    doubtful = (found.scores >= LEAST_SCORE) & (longer < HUGE_PX) & ~sure
    large = doubtful & (longer >= LARGE_PX)
    faces = found.chosen(~doubtful).enlarged(2)
    small = found.chosen(doubtful & ~large)
    news = ~_on_persons(focus, faces.chosen(faces.scores >= KNOWN_SCORE))
    places = np.concatenate([small.boxes * 2, focus.boxes[news]])
    owners = np.concatenate([small.owners, focus.owners[news]])
    patches = _covered(Places(places, owners), found.count, canvas, most_patches(canvas))
    wide = _covered(Places(found.boxes[large], found.owners[large]), found.count, half_of(canvas), MOST_WIDE)
    crowded = [few is None for few in wide]
    return Glance(
        faces,
        tuple(None if full else own for own, full in zip(patches, crowded, strict=True)),
        tuple((few or ()) if own is not None else () for own, few in zip(patches, wide, strict=True)),
    )


def _covered(places: Places, count: int, canvas: tuple[int, int], most: int) -> list[tuple[Corner, ...] | None]:
    patches: list[tuple[Corner, ...] | None] = [()] * count
    for owner in set(places.owners.tolist()):
        patches[owner] = patches_over(places.boxes[places.owners == owner], canvas, most)
    return patches


def focus_places(chances: FloatArray, least: float) -> Places:
    """Give the places at which focus maps peak.

    Args:
        chances: float32, (B, h, w), 0..1, of cells of `CELL_PX`.
        least: Lower peaks are none, 0..1.

    Returns:
        Highest first on each canvas.
    """
    owners, rows, columns = np.nonzero(chances >= least)
    padded = np.zeros((len(chances), chances.shape[1] + 2, chances.shape[2] + 2), np.float32)
    padded[:, 1:-1, 1:-1] = chances
    steps = np.arange(3)
    around = padded[owners[:, None, None], (rows[:, None] + steps)[:, :, None], (columns[:, None] + steps)[:, None, :]]
    own = chances[owners, rows, columns]
    order = np.lexsort((-own, owners))
    order = order[(own >= around.max(axis=(1, 2), initial=0))[order]]
    middles = (np.stack([columns, rows], axis=1)[order] + 0.5) * CELL_PX
    boxes = np.concatenate([middles - REACH_PX, middles + REACH_PX], axis=1).astype(np.float32)
    return Places(boxes, owners[order])


def _on_persons(places: Places, faces: DetectionBatch) -> NDArray[np.bool_]:
    """Say of which places the middle lies on head or shoulders of a face of the same canvas."""
    sizes = np.clip(faces.boxes[:, 2:] - faces.boxes[:, :2], 1e-6, None)
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    off = ((places.boxes[:, None, :2] + places.boxes[:, None, 2:]) / 2 - centres) / sizes
    aside, down = np.abs(off[..., 0]), off[..., 1]
    on = [(aside <= width) & (down >= top) & (down <= bottom) for width, top, bottom in (HEAD, SHOULDERS)]
    theirs: NDArray[np.bool_] = ((on[0] | on[1]) & (places.owners[:, None] == faces.owners)).any(axis=1)
    return theirs


def put_together(glance: Glance, looks: DetectionBatch, canvas: tuple[int, int], max_iou: float) -> DetectionBatch:
    """Put together what a glance and the second looks at its patches found.

    Args:
        glance: Whose patches were looked at, one after the other.
        looks: What was found on each, px of the patch; those of the half canvases last.
        canvas: (width, height), px.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.

    Returns:
        The faces of all canvases, canvas px; those of canvases to be looked at whole are not complete.
    """
    if not len(looks.owners):
        return glance.faces
    cuts = [(slot, 1, *canvas, *corner) for slot, corner in glance.full_corners()]
    cuts += [(slot, 2, *half_of(canvas), *corner) for slot, corner in glance.wide_corners()]
    table = np.array(cuts, np.float32)[looks.owners]
    slots, factors, canvases, corners = table[:, 0].astype(np.intp), table[:, 1:2], table[:, 2:4], table[:, 4:]
    boxes = (looks.boxes + np.tile(corners, 2)) * factors
    known = glance.faces.chosen(glance.faces.scores >= KNOWN_SCORE)
    there = known.boxes / factors[:, None] - np.tile(corners, 2)[:, None]
    cut_off = ~uncut(there, corners[:, None], canvases[:, None]) & (slots[:, None] == known.owners)
    parts = (_shares_inside(boxes, known.boxes) * cut_off).max(axis=1, initial=0) > MOST_INSIDE
    whole = uncut(looks.boxes, corners, canvases) & ~parts
    landmarks = (looks.landmarks + corners[:, None]) * factors[:, None]
    faces = DetectionBatch(
        np.concatenate([glance.faces.boxes, boxes[whole]]),
        np.concatenate([glance.faces.scores, looks.scores[whole]]),
        np.concatenate([glance.faces.landmarks, landmarks[whole]]),
        np.concatenate([glance.faces.owners, slots[whole]]),
        glance.faces.count,
    )
    return faces.chosen(suppress_overlaps(faces.boxes, faces.scores, faces.owners, max_iou))


def _shares_inside(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Give the share of each box's area, (K, 4), that lies in each of the others, (N, 4): float32, (K, N)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, None).prod(axis=1)
    share: FloatArray = common / area[:, None]
    return share


def _half(side: int) -> int:
    return -(-side // 64) * 32
