"""From the sample folder to what a run learns from and is judged by; what is not believed stays out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import TrainingError
from trainer.data.pictures import Skips
from trainer.faces.finder import FaceFinder
from trainer.service.cutting import GroupedFaces, cut_items
from trainer.service.kinship import families, hold_out, twins
from trainer.service.labelled import LabelledCrop, SampleFolder
from trainer.service.ledger import Entry, Ledger
from trainer.service.scrutiny import Doubts, Labelling, scrutinise
from trainer.service.served import ServedClassifier
from trainer.service.settings import TrainerSettings


class NothingLeftError(TrainingError):
    """No labelled crop is left to learn from.

    Attributes:
        fates: File of a new crop to its entry.
        counts: Figures for the report.
    """

    def __init__(self, fates: dict[str, Entry], counts: dict[str, Any]) -> None:
        said = [f"{count} crops: {reason}" for reason, count in counts["quarantined"].items()]
        super().__init__("\n".join(["no labelled crop is left to learn from", *said]))
        self.fates, self.counts = fates, counts


@dataclass(frozen=True, slots=True)
class Intake:
    """What came of the labelled crops.

    Attributes:
        learnt: Faces to learn from: new ones, and those of earlier runs.
        held_new: New faces that are kept for judging.
        held_believed: The same of earlier, accepted runs.
        fates: File of a new crop to its entry, as it will be if the candidate passes.
        counts: Figures for the report.
        remarks: What a person should look at.
    """

    learnt: GroupedFaces
    held_new: GroupedFaces
    held_believed: GroupedFaces
    fates: dict[str, Entry]
    counts: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examiner:
    """Who cuts and judges the crops.

    Attributes:
        finder: Cuts.
        current: The version in force.
        should_stop: Whether the end was asked for.
    """

    finder: FaceFinder
    current: ServedClassifier
    should_stop: Callable[[], bool]


def open_crops(samples: SampleFolder, ledger: Ledger, *, held_back: bool) -> tuple[list[LabelledCrop], list[bool]]:
    """Give the crops that a run may use, and for each whether it is new; ``held_back`` lets doubted ones in again."""
    crops, new = [], []
    for crop in samples.crops:
        entry = ledger.fate(crop.file, crop.label)
        fresh = entry is None or (held_back and entry.fate != "accepted")
        if fresh or (entry is not None and entry.fate == "accepted"):
            crops.append(crop)
            new.append(fresh)
    return crops, new


def take_in(
    crops: Sequence[LabelledCrop], new: Sequence[bool], ledger: Ledger, examiner: Examiner, rules: TrainerSettings,
    run: str,
) -> Intake:  # fmt: skip
    """Cut, doubt and divide the crops.

    Raises:
        InterruptedError: It was told to stop.
        NothingLeftError: All crops are in quarantine, held out or unreadable.
    """
    skips = Skips()
    cut = cut_items(crops, examiner.finder, skips, examiner.should_stop)
    fresh = np.array([new[item] for item in cut.items], np.bool_)
    doubts = _doubt(crops, cut, fresh, examiner.current, rules)
    doubted = np.zeros(len(cut), np.bool_)
    doubted[list(doubts.reasons)] = True
    held = _divide(crops, cut, ledger, rules)
    fates = _fates(crops, cut, (fresh, held), doubts, run)
    counts = _counts(crops, (cut, fresh, doubted, held), doubts, skips)
    learnt = cut.select(~doubted & ~held)
    if not len(learnt):
        raise NothingLeftError(fates, counts)
    return Intake(
        learnt, cut.select(~doubted & held & fresh), cut.select(~doubted & held & ~fresh), fates, counts,
        tuple(doubts.remarks),
    )  # fmt: skip


def _doubt(
    crops: Sequence[LabelledCrop], cut: GroupedFaces, fresh: NDArray[np.bool_], current: ServedClassifier,
    rules: TrainerSettings,
) -> Doubts:  # fmt: skip
    """Scrutinise the new faces; indices of the answer count all faces."""
    chosen = np.flatnonzero(fresh)
    if not len(chosen):
        return Doubts()
    same = [str(number) for number in twins(cut.faces.patches)]
    believed: dict[str, list[int]] = defaultdict(list)
    for index in np.flatnonzero(~fresh):
        believed[same[index]].append(int(cut.faces.labels[index]))
    labelling = Labelling(
        labels=cut.faces.labels[chosen], groups=[same[index] for index in chosen],
        origins=[crops[cut.items[index]].origins for index in chosen],
        chances=current.judge(cut.faces.select(chosen)), believed=believed,
    )  # fmt: skip
    doubts = scrutinise(labelling, rules.scrutiny)
    return Doubts({int(chosen[index]): reason for index, reason in doubts.reasons.items()}, doubts.remarks)


def _divide(
    crops: Sequence[LabelledCrop], cut: GroupedFaces, ledger: Ledger, rules: TrainerSettings
) -> NDArray[np.bool_]:
    kin = families(cut.faces.patches, cut.groups.tolist())
    own = [crops[item] for item in cut.items]
    entries = [ledger.fate(crop.file, crop.label) for crop in own]
    decided = [
        crop.split == "val" if crop.divided else entry.held_out if entry else None
        for crop, entry in zip(own, entries, strict=True)
    ]
    return hold_out(kin, [crop.label for crop in own], decided, rules.held_out, rules.seed)


def _fates(
    crops: Sequence[LabelledCrop], cut: GroupedFaces, marks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    doubts: Doubts, run: str,
) -> dict[str, Entry]:  # fmt: skip
    fresh, held = marks
    faceless = set(range(len(crops))) - set(cut.items.tolist())
    fates = {
        crops[item].file: Entry(fate="quarantined", run=run, label=crops[item].label, why="cannot be read or cut")
        for item in faceless
    }
    for index in np.flatnonzero(fresh):
        crop, why = crops[cut.items[index]], doubts.reasons.get(int(index), "")
        fates[crop.file] = Entry(
            fate="quarantined" if why else "accepted", run=run, label=crop.label, why=why, held_out=bool(held[index])
        )
    return fates


def _counts(
    crops: Sequence[LabelledCrop],
    parts: tuple[GroupedFaces, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
    doubts: Doubts, skips: Skips,
) -> dict[str, Any]:  # fmt: skip
    cut, fresh, doubted, held = parts
    return {
        "new": int(fresh.sum()),
        "believed_before": int((~fresh).sum()),
        "learnt": int((~doubted & ~held).sum()),
        "held_out": int((~doubted & held).sum()),
        "by_label": dict(Counter(crops[item].label for item in cut.items)),
        "by_source": dict(Counter(crops[item].source for item in cut.items)),
        "quarantined": dict(Counter(doubts.reasons.values())),
        "unreadable": len(skips),
    }
