"""Who can be examined, and the one who is known by a file of predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from common.models.manifest import LABELS
from trainer.evaluate.crops import CropRecord
from trainer.evaluate.found import NO_LABEL, Found, read_predictions
from trainer.evaluate.scenes import SceneRecord
from trainer.evaluate.truth import CropTruth, Remark, SceneTruth


class Examinee(Protocol):
    """Answers for pictures, several at a time; what cannot be answered for becomes a remark, never silence."""

    @property
    def about(self) -> dict[str, object]:
        """What is examined, for the report."""

    @property
    def threshold(self) -> float:
        """Score from which a found box is a face at work."""

    @property
    def remarks(self) -> list[Remark]:
        """Pictures that could not be read, so far; they are in no figure."""

    def scenes(self, truths: Sequence[SceneTruth]) -> list[SceneRecord]:
        """Find and judge all faces."""

    def crops(self, truths: Sequence[CropTruth]) -> list[CropRecord]:
        """Judge the one person of each picture."""

    def close(self) -> None:
        """Give everything back."""


class Foreign:
    """A foreign system; a picture that it says nothing of counts as nothing found.

    Attributes:
        remarks: Stays empty: no picture is read.
        missing: Asked-for pictures that it says nothing of.

    Args:
        path: JSON lines, see `trainer.evaluate.found.read_predictions`.
        root: Folder of the data set.
        threshold: Score from which a found box is a face at work.
    """

    def __init__(self, path: Path, root: Path, threshold: float) -> None:
        self._path = path
        self._threshold = threshold
        self._predictions = read_predictions(path, root)
        self.remarks: list[Remark] = []
        self.missing: list[str] = []

    @property
    def threshold(self) -> float:
        """Score from which a found box is a face at work."""
        return self._threshold

    @property
    def about(self) -> dict[str, object]:
        """The file and the threshold."""
        return {"predictions": self._path.name, "threshold": self._threshold}

    def unknown(self, known: set[str]) -> list[str]:
        """Name the predicted files that are not among ``known``."""
        return sorted(set(self._predictions) - known)

    def close(self) -> None:
        """Nothing to give back."""

    def scenes(self, truths: Sequence[SceneTruth]) -> list[SceneRecord]:
        """Look the faces up."""
        return [SceneRecord(truth, self._answer(truth.file)) for truth in truths]

    def crops(self, truths: Sequence[CropTruth]) -> list[CropRecord]:
        """Look up the principal face of each picture; none is a wrong answer."""
        return [principal_record(truth, self._at_work(truth.file)) for truth in truths]

    def _at_work(self, file: str) -> Found:
        found = self._answer(file)
        return found.select(found.scores >= self._threshold)

    def _answer(self, file: str) -> Found:
        found = self._predictions.get(file)
        if found is None:
            self.missing.append(file)
            return Found.nothing()
        return found


def principal_record(truth: CropTruth, found: Found) -> CropRecord:
    """Take the principal face as the one the picture is of."""
    best = found.principal
    if best < 0:
        nothing = np.full(len(LABELS), np.nan, np.float32)
        return CropRecord(truth, NO_LABEL, nothing, np.full(4, np.nan, np.float32), detected=False)
    return CropRecord(truth, int(found.labels[best]), found.probabilities[best], found.boxes[best], detected=True)
