"""Figures of one-person pictures: one verdict a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.models.manifest import LABELS
from trainer.evaluate.found import NO_LABEL
from trainer.evaluate.truth import CropTruth, Group
from trainer.evaluate.verdicts import Verdicts, share, summary
from trainer.scores.scoring import recall_by_size


@dataclass(frozen=True, slots=True)
class CropRecord:
    """One picture and its verdict.

    Attributes:
        truth: What it is.
        said: Index into the label order, -1 where the system gave no verdict.
        probabilities: float32, (3,), NaN where the system gave none.
        box: float32, (4,), what was judged, px; NaN where nothing was found.
        detected: Whether the detector found the face; else the whole picture was judged.
    """

    truth: CropTruth
    said: int
    probabilities: FloatArray
    box: FloatArray
    detected: bool


@dataclass(frozen=True, slots=True)
class CropTally:
    """All pictures as flat arrays.

    Attributes:
        groups: The groups, in the order that the weights of `figures` count.
        verdicts: One a picture.
        detected: bool, (M,).
    """

    groups: tuple[Group, ...]
    verdicts: Verdicts
    detected: NDArray[np.bool_]

    @classmethod
    def of(cls, records: Sequence[CropRecord], groups: Sequence[Group] | None = None) -> CropTally:
        """Gather the records; ``groups`` gives the order of the groups where it must be that of another tally."""
        order = tuple(dict.fromkeys(record.truth.group for record in records)) if groups is None else tuple(groups)
        unit_of = {group: number for number, group in enumerate(order)}
        boxes = np.array([record.box for record in records], np.float32).reshape(-1, 4)
        verdicts = Verdicts(
            unit=np.array([unit_of[record.truth.group] for record in records], np.int64),
            truth=np.array([record.truth.label for record in records], np.int64),
            said=np.array([record.said for record in records], np.int64),
            probabilities=np.array([record.probabilities for record in records], np.float32).reshape(-1, len(LABELS)),
            sizes=np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)),
        )
        return cls(order, verdicts, np.array([record.detected for record in records], np.bool_))

    def figures(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Give the figures; a picture without a verdict is wrong. See `SceneTally.figures`.

        ``accuracy`` is of all pictures; what ends in ``_of_24_px``, the two errors and the calibration are of
        faces of at least 24 px that the detector found.
        """
        each = np.ones(len(self.groups)) if weights is None else weights
        found = self.verdicts.select(self.detected & (self.verdicts.said != NO_LABEL))
        figures = found.figures(each)
        figures["accuracy_detected"] = figures["accuracy"]
        figures["accuracy"] = share(self.verdicts.said == self.verdicts.truth, each[self.verdicts.unit])
        return figures | {"detected": share(self.detected, each[self.verdicts.unit])}


def crop_report(records: Sequence[CropRecord]) -> dict[str, Any]:
    """Score one-person pictures: figures of all, and of each source under ``sources``."""
    report = _report_of(records)
    sources = sorted({record.truth.source for record in records})
    report["sources"] = {
        source: _report_of([record for record in records if record.truth.source == source]) for source in sources
    }
    return report


def _report_of(records: Sequence[CropRecord]) -> dict[str, Any]:
    tally = CropTally.of(records)
    verdicts = tally.verdicts
    sizes = {"right_by_size": recall_by_size(verdicts.truth, verdicts.said, verdicts.sizes)}
    everything, found = summary(verdicts), summary(verdicts.select(tally.detected))
    tables = found | {key: everything[key] for key in ("confusion", "faces_judged")}
    return {"pictures": len(records)} | tally.figures() | sizes | tables
