"""Puts faces together from what the detector, the classifier and the crops each say of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from common.geometry import FloatArray, Letterbox
from common.models.decode import Detections
from workers.infer.vision.face import Face


def in_picture(faces: Detections, fit: Letterbox, limit: int) -> Detections:
    """Carry the best ``limit`` faces from canvas px to picture px."""
    return Detections(
        fit.to_picture(faces.boxes[:limit]), faces.scores[:limit], fit.to_picture(faces.landmarks[:limit])
    )


def assemble(
    sizes: Sequence[tuple[int, int]],
    full: Sequence[tuple[int, int]],
    found: Sequence[Detections],
    probabilities: FloatArray,
    sharpness: FloatArray,
) -> list[list[Face]]:
    """Put together what was found in pictures of ``sizes`` px, in px of the ``full`` frames behind them."""
    counts = [len(faces.boxes) for faces in found]
    if not any(counts):
        return [[] for _ in found]
    ratios = [(width / own[0], height / own[1]) for own, (width, height) in zip(sizes, full, strict=True)]
    scales = np.repeat(np.array(ratios, np.float32), counts, axis=0)
    boxes = np.concatenate([faces.boxes for faces in found]) * np.tile(scales, 2)
    points = np.concatenate([faces.landmarks for faces in found]) * scales[:, None]
    scores = np.concatenate([faces.scores for faces in found])
    columns = (boxes, scores, probabilities, points, sharpness)
    # Python's own numbers at once: taking them out of arrays one by one costs more than all that is computed here.
    made = iter([_face(*row) for row in zip(*(column.tolist() for column in columns), strict=True)])
    return [list(islice(made, count)) for count in counts]


def _face(box: list[float], score: float, probabilities: list[float], points: list[list[float]], blur: float) -> Face:
    x1, y1, x2, y2 = box
    mask, no_mask, incorrect = (round(min(1.0, max(0.0, value)), 6) for value in probabilities)
    return Face(
        (x1, y1, x2, y2),
        round(min(1.0, max(0.0, score)), 6),
        (mask, no_mask, incorrect),
        tuple((x, y) for x, y in points),
        blur,
    )
