"""A second look at training pictures: faces that nobody boxed, and places taken for faces that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import TrainingError
from common.geometry import FloatArray


class SecondLook(NamedTuple):
    """What was seen in one picture.

    Attributes:
        overlooked: float32, (J, 4), x1 y1 x2 y2, px of the picture: faces without a box.
        decoys: float32, (D, 4), px: places that a detector took for faces.
    """

    overlooked: FloatArray
    decoys: FloatArray


NOTHING = SecondLook(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))


def read_second_look(path: Path) -> dict[str, SecondLook]:
    """Read JSON lines of ``file``, ``overlooked`` and ``decoys`` (lists of boxes, px), by file name without folders.

    Raises:
        TrainingError: The file cannot be read; names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: {error}") from error
    looks: dict[str, SecondLook] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            look = SecondLook(_boxes(value.get("overlooked", [])), _boxes(value.get("decoys", [])))
            looks[Path(value["file"]).name] = look
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{path}, line {number}: {error!r}") from error
    return looks


def _boxes(value: Any) -> FloatArray:
    boxes = np.array(value, np.float32).reshape(-1, 4)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError("a box is x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    return boxes
