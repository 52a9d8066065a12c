"""The worst mistakes, to be looked at: what a system was surest of and wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.evaluate.crops import CropRecord
from trainer.evaluate.scenes import UNBOXED_PX, Matched, SceneRecord, longer_sides
from trainer.evaluate.verdicts import JUDGED_PX

MOST = 40


@dataclass(frozen=True, slots=True)
class Mistake:
    """One of them.

    Attributes:
        path: The picture.
        file: Its name in the index.
        box: float32, (4,), the face, px; NaN for the whole picture.
        words: What is wrong.
        weight: Worse ones weigh more.
    """

    path: Path
    file: str
    box: FloatArray
    words: str
    weight: float

    def as_json(self) -> dict[str, Any]:
        """Write it for JSON."""
        box = [round(float(value), 1) for value in self.box] if np.isfinite(self.box).all() else None
        return {"file": self.file, "box": box, "mistake": self.words}


def scene_mistakes(records: Sequence[SceneRecord], threshold: float) -> dict[str, list[Mistake]]:
    """Give wrong verdicts, false faces and missed faces of scenes, by title, worst first, at most 40 each."""
    pairs = [(record, Matched.of(record, threshold)) for record in records]
    return {
        "Wrong verdicts on found faces, surest first": _worst(m for pair in pairs for m in _wrong(*pair)),
        "Boxes where no face is labelled, surest first": _worst(m for pair in pairs for m in _false(*pair, threshold)),
        "Missed faces, largest first": _worst(m for pair in pairs for m in _missed(*pair)),
    }


def crop_mistakes(records: Sequence[CropRecord]) -> dict[str, list[Mistake]]:
    """Give the wrong verdicts on one-person pictures, by title, surest first, at most 40."""
    wrong = (record for record in records if record.said != record.truth.label)
    return {"Wrong verdicts, surest first": _worst(_crop_mistake(record) for record in wrong)}


def _worst(mistakes: Iterable[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: -mistake.weight)[:MOST]


def _wrong(record: SceneRecord, part: Matched) -> Iterable[Mistake]:
    truth, found = record.truth, record.found
    sizes = longer_sides(truth.boxes)
    for face, box in enumerate(part.which):
        if box < 0 or found.labels[box] < 0 or found.labels[box] == truth.labels[face] or sizes[face] < JUDGED_PX:
            continue
        chance = float(np.nan_to_num(found.probabilities[box].max(), nan=found.scores[box]))
        words = f"{LABELS[truth.labels[face]]} → {LABELS[found.labels[box]]} {chance:.2f}"
        yield Mistake(truth.path, truth.file, found.boxes[box], words, chance)


def _false(record: SceneRecord, part: Matched, threshold: float) -> Iterable[Mistake]:
    truth, found = record.truth, record.found
    false = ~part.hit & (found.scores >= threshold) & (longer_sides(found.boxes) >= UNBOXED_PX)
    for box in np.flatnonzero(false):
        score = float(found.scores[box])
        yield Mistake(truth.path, truth.file, found.boxes[box], f"no face {score:.2f}", score)


def _missed(record: SceneRecord, part: Matched) -> Iterable[Mistake]:
    truth = record.truth
    sizes = longer_sides(truth.boxes)
    for face in np.flatnonzero(part.which < 0):
        words = f"missed {LABELS[truth.labels[face]]}, {sizes[face]:.0f} px"
        yield Mistake(truth.path, truth.file, truth.boxes[face], words, float(sizes[face]))


def _crop_mistake(record: CropRecord) -> Mistake:
    truth = record.truth
    said = LABELS[record.said] if record.said >= 0 else "nothing"
    chance = float(np.nan_to_num(record.probabilities.max(), nan=1.0))
    note = "" if record.detected else ", no face found"
    words = f"{LABELS[truth.label]} → {said} {chance:.2f}{note}"
    return Mistake(truth.path, truth.file, record.box, words, chance)
