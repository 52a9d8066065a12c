"""A candidate beside the version in force on the same faces: all of them, and by label, source and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.evaluate.comparison import compare
from trainer.evaluate.verdicts import JUDGED_PX, MASK, Verdicts, share
from trainer.faces.cuts import FaceSet
from trainer.scores.scoring import SIZE_BUCKETS, bucket_name, rounded
from trainer.service.cutting import GroupedFaces

Row = dict[str, Any]
LEAST_CHANCE = 1e-3
"""So that one face that is surely wrong does not outweigh all others."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Faces and what both versions say of them.

    Attributes:
        faces: With their groups.
        current: float32, (M, 3), of the version in force.
        candidate: float32, (M, 3).
    """

    faces: GroupedFaces
    current: FloatArray
    candidate: FloatArray

    def select(self, chosen: NDArray[np.bool_]) -> Answers:
        """Give a subset."""
        return Answers(self.faces.select(chosen), self.current[chosen], self.candidate[chosen])

    @property
    def truth(self) -> NDArray[np.int64]:
        """int64, (M,), labels."""
        return self.faces.faces.labels


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the faces and how both versions do on it.

    Attributes:
        kind: all, label, source, size or held_out.
        name: Which of these.
        faces: How many.
        groups: How many groups of near-duplicates.
        rows: Figure to ``old``, ``new``, ``difference``, ``low`` and ``high`` (95 % interval of it).
    """

    kind: str
    name: str
    faces: int
    groups: int
    rows: dict[str, Row]

    def ready(self) -> dict[str, Any]:
        """Give it as JSON has it; what cannot be computed is None."""
        finished: dict[str, Any] = rounded(
            {"kind": self.kind, "name": self.name, "faces": self.faces, "groups": self.groups, "rows": self.rows}
        )
        return finished


@dataclass(frozen=True, slots=True)
class _Tally:
    groups: tuple[int | str, ...]
    verdicts: Verdicts

    def figures(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        each = np.ones(len(self.groups)) if weights is None else weights
        right = self.verdicts.said == self.verdicts.truth
        masked = self.verdicts.truth == MASK
        said_masked, counted = self.verdicts.said == MASK, each[self.verdicts.unit]
        return {
            "accuracy": share(right, counted),
            "false_violations": share(~said_masked[masked], counted[masked]),
            "missed_violations": share(said_masked[~masked], counted[~masked]),
            "log_loss": _mean(self._surprise(), counted),
            "calibration_error": self.verdicts.figures(each)["calibration_error"],
        }

    def _surprise(self) -> NDArray[np.float64]:
        """How little each true label was expected, nats."""
        own = self.verdicts.probabilities[np.arange(len(self.verdicts.truth)), self.verdicts.truth]
        return -np.log(np.clip(own.astype(np.float64), LEAST_CHANCE, 1.0))


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0 else float("nan")


def slice_of(answers: Answers, kind: str, name: str, draws: int) -> Slice:
    """Compare both versions on faces, with intervals from drawing whole groups of near-duplicates."""
    order, unit = np.unique(answers.faces.groups, return_inverse=True)
    names = tuple(order.tolist())
    old, new = (
        _Tally(names, _verdicts(answers.faces.faces, unit, chances)) for chances in (answers.current, answers.candidate)
    )
    return Slice(kind, name, len(answers.faces), len(names), compare(old, new, draws))


def slices_of(answers: Answers, draws: int) -> Iterator[Slice]:
    """Compare on all faces of the fixed set and on each label, source and size that it has."""
    faces = answers.faces.faces
    yield slice_of(answers, "all", "all", draws)
    for index, label in enumerate(LABELS):
        yield from _part(answers, faces.labels == index, ("label", label), draws)
    for source in np.unique(faces.sources):
        yield from _part(answers, faces.sources == source, ("source", str(source)), draws)
    for low, high in SIZE_BUCKETS:
        yield from _part(answers, (faces.sizes >= low) & (faces.sizes < high), ("size", bucket_name(low, high)), draws)


def judged(answers: Answers) -> Answers:
    """Give those of at least 24 px: smaller ones get no verdict at work; all, where none is so large."""
    large = answers.faces.faces.sizes >= JUDGED_PX
    return answers.select(large) if large.any() else answers


def _part(answers: Answers, chosen: NDArray[np.bool_], named: tuple[str, str], draws: int) -> Iterator[Slice]:
    if chosen.any():
        yield slice_of(answers.select(chosen), named[0], named[1], draws)


def _verdicts(faces: FaceSet, unit: NDArray[np.intp], chances: FloatArray) -> Verdicts:
    said = chances.argmax(axis=1).astype(np.int64)
    return Verdicts(unit.astype(np.int64), faces.labels, said, chances, faces.sizes)
