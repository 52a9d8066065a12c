"""Makes faces in a picture unrecognisable, for good: what is left of a face is a handful of colours."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from common.geometry import FloatArray
from common.images import Picture, resize

MARGIN = 0.3
BLOCKS = 3


def hide(picture: Picture, boxes: Iterable[FloatArray], blocks: int = BLOCKS) -> None:
    """Replace faces, hair and chin included, in place.

    The part is averaged over a few blocks and enlarged smoothly, so that nothing finer than a third of a head is left.

    Args:
        picture: uint8, (H, W, 3), BGR; changed in place.
        boxes: float, (4,) each, x1 y1 x2 y2, px of the picture; may reach outside.
        blocks: Blocks on each side; 1 leaves a single colour.
    """
    height, width = picture.shape[:2]
    for box in boxes:
        x1, y1, x2, y2 = (float(value) for value in box)
        across, down = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
        left, top = max(0, int(np.floor(x1 - across))), max(0, int(np.floor(y1 - down)))
        right, bottom = min(width, int(np.ceil(x2 + across))), min(height, int(np.ceil(y2 + down)))
        if left >= right or top >= bottom:
            continue
        part = picture[top:bottom, left:right]
        few = resize(part, (min(blocks, right - left), min(blocks, bottom - top)))
        picture[top:bottom, left:right] = resize(few, (right - left, bottom - top))
