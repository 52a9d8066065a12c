"""Figures of scenes: which faces are found, and which verdicts those get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.evaluate.found import Found
from trainer.evaluate.truth import Group, SceneTruth
from trainer.evaluate.verdicts import JUDGED_PX, Verdicts, share, summary
from trainer.scores.scoring import SIZE_BUCKETS, area_under, bucket_name, curve, match

UNBOXED_PX = 40.0
"""Data sets leave small background faces unboxed: who finds such a one is not punished."""
MISSED = -2


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """One picture: what is there and what was found."""

    truth: SceneTruth
    found: Found


@dataclass(frozen=True, slots=True)
class SceneTally:
    """All pictures as flat arrays, so that the same code gives the figures and their scatter.

    Attributes:
        groups: The groups, in the order that ``unit`` and the weights of `figures` count.
        unit: int64, (D,), group of each found box.
        scores: float64, (D,).
        hit: bool, (D,), stands for a face.
        counted: bool, (D,), a hit, or too large to be an unboxed face.
        said: int64, (D,), label, -1 for none.
        class_scores: float64, (D,), score × probability of the label where it is known.
        class_hit: bool, (D,), stands for a face of that label.
        verdicts: Of all faces that are there; ``said`` is -2 where the face was missed at the threshold.
    """

    groups: tuple[Group, ...]
    pictures: int
    threshold: float
    unit: NDArray[np.int64]
    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    said: NDArray[np.int64]
    class_scores: NDArray[np.float64]
    class_hit: NDArray[np.bool_]
    verdicts: Verdicts

    @classmethod
    def of(cls, records: Sequence[SceneRecord], threshold: float, groups: Sequence[Group] | None = None) -> SceneTally:
        """Match what was found with what is there.

        Args:
            records: The pictures.
            threshold: Score from which a found box is a face at work.
            groups: Order of the groups, where it must be that of another tally.
        """
        order = tuple(dict.fromkeys(record.truth.group for record in records)) if groups is None else tuple(groups)
        unit_of = {group: number for number, group in enumerate(order)}
        parts = [Matched.of(record, threshold) for record in records]
        units = [unit_of[record.truth.group] for record in records]
        found = [record.found for record in records]
        return cls(
            groups=order,
            pictures=len(records),
            threshold=threshold,
            unit=_joined([np.full(len(one.scores), unit) for one, unit in zip(found, units, strict=True)], np.int64),
            scores=_joined([one.scores for one in found], np.float64),
            hit=_joined([part.hit for part in parts], np.bool_),
            counted=_joined([part.counted for part in parts], np.bool_),
            said=_joined([one.labels for one in found], np.int64),
            class_scores=_joined([part.class_scores for part in parts], np.float64),
            class_hit=_joined([part.class_hit for part in parts], np.bool_),
            verdicts=_verdicts(records, parts, units),
        )

    def figures(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Give the figures; NaN where there is nothing to compute one of.

        Args:
            weights: float64, one a group: how often each counts; None counts each once.
        """
        each = np.ones(len(self.groups)) if weights is None else weights
        faces, boxes, verdicts = each[self.verdicts.unit], each[self.unit], self.verdicts
        there = verdicts.said != MISSED
        large = verdicts.sizes >= JUDGED_PX
        at_work = self.counted & (self.scores >= self.threshold)
        figures = {
            "faces_ap": area_under(*self.curve(each)) if len(verdicts.truth) else float("nan"),
            **{f"class_ap.{label}": self._class_ap(index, each) for index, label in enumerate(LABELS)},
            "recall": share(there, faces),
            "recall_of_24_px": share(there[large], faces[large]),
            "precision": share(self.hit[at_work], boxes[at_work]),
        }
        return figures | self.judged.figures(each)

    @property
    def judged(self) -> Verdicts:
        """Verdicts of the faces that were found at the threshold and got one."""
        return self.verdicts.select(self.verdicts.said >= 0)

    def curve(self, weights: NDArray[np.float64] | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give recall and precision of faces, each float64 (K,), as the threshold falls; see `figures`."""
        each = np.ones(len(self.groups)) if weights is None else weights
        faces = float(each[self.verdicts.unit].sum())
        return curve(self.scores[self.counted], self.hit[self.counted], faces, each[self.unit[self.counted]])

    def recall_by_size(self) -> dict[str, dict[str, float]]:
        """Give the share of faces found by the longer side of the labelled box, px, in all and by label."""
        table: dict[str, dict[str, float]] = {}
        found = self.verdicts.said != MISSED
        for low, high in SIZE_BUCKETS:
            inside = (self.verdicts.sizes >= low) & (self.verdicts.sizes < high)
            row = {"recall": share(found[inside]), "support": float(inside.sum())}
            for index, label in enumerate(LABELS):
                mine = inside & (self.verdicts.truth == index)
                row |= {label: share(found[mine]), f"{label}_support": float(mine.sum())}
            table[bucket_name(low, high)] = row
        return table

    def _class_ap(self, label: int, each: NDArray[np.float64]) -> float:
        mine = self.verdicts.truth == label
        faces = float(each[self.verdicts.unit[mine]].sum())
        if faces <= 0 or not (self.said >= 0).any():
            return float("nan")
        boxes = (self.said == label) & (self.counted | self.class_hit)
        return area_under(*curve(self.class_scores[boxes], self.class_hit[boxes], faces, each[self.unit[boxes]]))


def scene_report(records: Sequence[SceneRecord], threshold: float) -> dict[str, Any]:
    """Score scenes: figures of all, and of each source under ``sources``."""
    report = _report_of(records, threshold)
    sources = sorted({record.truth.source for record in records})
    report["sources"] = {
        source: _report_of([record for record in records if record.truth.source == source], threshold)
        for source in sources
    }
    return report


def _report_of(records: Sequence[SceneRecord], threshold: float) -> dict[str, Any]:
    tally = SceneTally.of(records, threshold)
    figures = tally.figures()
    class_ap = {label: figures.pop(f"class_ap.{label}") for label in LABELS}
    sizes = {"recall_by_size": tally.recall_by_size()}
    counts = {"pictures": tally.pictures, "faces": len(tally.verdicts.truth)}
    return counts | figures | {"class_ap": class_ap} | sizes | summary(tally.judged)


@dataclass(frozen=True, slots=True)
class Matched:
    """One picture's boxes and faces, brought together at IoU 0.5.

    Attributes:
        hit: bool, (K,), stands for a face.
        counted: bool, (K,), a hit, or too large to be an unboxed face.
        class_scores: float64, (K,), score × probability of the label where that is known.
        class_hit: bool, (K,), stands for a face of its label.
        which: int64, (T,), the box at work that found each face, -1 for none.
    """

    hit: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    class_scores: NDArray[np.float64]
    class_hit: NDArray[np.bool_]
    which: NDArray[np.int64]

    @classmethod
    def of(cls, record: SceneRecord, threshold: float) -> Matched:
        """Match one picture."""
        found, truth = record.found, record.truth
        matched = match(found.boxes, found.scores, truth.boxes)
        hit = matched >= 0
        which = np.full(len(truth.boxes), -1, np.int64)
        for box in np.flatnonzero(hit & (found.scores >= threshold)):
            which[matched[box]] = box
        sure = np.isfinite(found.probabilities).all(axis=1)
        chance = np.where(sure, np.nan_to_num(found.probabilities).max(axis=1, initial=0), 1.0)
        class_scores = found.scores.astype(np.float64) * chance
        class_hit = np.zeros(len(found.boxes), np.bool_)
        for label in range(len(LABELS)):
            mine = np.flatnonzero(found.labels == label)
            pairs = match(found.boxes[mine], class_scores[mine].astype(np.float32), truth.boxes[truth.labels == label])
            class_hit[mine] = pairs >= 0
        large = longer_sides(found.boxes) >= UNBOXED_PX
        return cls(hit, hit | large, class_scores, class_hit, which)


def longer_sides(boxes: FloatArray) -> FloatArray:
    """Give the longer side of each box: float32, (K,), px."""
    sides: FloatArray = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    return sides


def _verdicts(records: Sequence[SceneRecord], parts: Sequence[Matched], units: Sequence[int]) -> Verdicts:
    said, chances = [], []
    for record, part in zip(records, parts, strict=True):
        found = part.which >= 0
        label = np.full(len(found), MISSED, np.int64)
        label[found] = record.found.labels[part.which[found]]
        chance = np.full((len(found), len(LABELS)), np.nan, np.float32)
        chance[found] = record.found.probabilities[part.which[found]]
        said.append(label)
        chances.append(chance)
    return Verdicts(
        unit=_joined([np.full(len(one), unit) for one, unit in zip(said, units, strict=True)], np.int64),
        truth=_joined([record.truth.labels for record in records], np.int64),
        said=_joined(said, np.int64),
        probabilities=_joined(chances, np.float32).reshape(-1, len(LABELS)),
        sizes=_joined([longer_sides(record.truth.boxes) for record in records], np.float32),
    )


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)
