"""Labels corrected by eye: listed one by one in a file, used for training only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import TrainingError
from common.geometry import iou_matrix
from common.models.manifest import LABELS
from trainer.faces.cuts import FaceSet

SAME_IOU = 0.5


class Correction(BaseModel):
    """What a person saw.

    Attributes:
        file: The picture's name in its index.
        box: x1 y1 x2 y2, px; needed where a picture shows several faces.
        label: What the face is; ``ignore`` leaves it out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    box: tuple[float, float, float, float] | None = None
    label: Literal["mask", "no_mask", "incorrect", "ignore"]


def read_corrections(path: Path) -> list[Correction]:
    """Read a file of corrections, one JSON object a line.

    Raises:
        TrainingError: Missing or malformed; names file and line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read: {error}") from error
    corrections = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            corrections.append(Correction.model_validate_json(line))
        except ValidationError as error:
            raise TrainingError(f"{path}:{number}: {error.errors()[0]['msg']}") from error
    return corrections


def correct(faces: FaceSet, corrections: list[Correction]) -> tuple[FaceSet, list[str]]:
    """Correct the labels of training faces; validation faces keep what their set says.

    Returns:
        The faces, without those to ignore, and a line for each change.
    """
    labels, kept, changes = faces.labels.copy(), np.ones(len(faces.labels), bool), []
    for one in corrections:
        mine = np.flatnonzero((faces.names == one.file) & faces.train)
        if one.box is not None and len(mine):
            mine = mine[iou_matrix(np.array([one.box], np.float32), faces.boxes[mine])[0] >= SAME_IOU]
        for index in mine:
            changes.append(f"{one.file}: {LABELS[faces.labels[index]]} corrected to {one.label}")
            if one.label == "ignore":
                kept[index] = False
            else:
                labels[index] = LABELS.index(one.label)
    return replace(faces, labels=labels).select(kept), changes
