"""What is known of a labelled face crop, and the lists of them that training reads. No files are touched here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from common.events import FeedbackLabel, FeedbackOrigin
from common.models.manifest import LABELS
from trainer.data.packs import CROPS
from trainer.data.split import Split
from trainer.samples.groups import Member, contradictory

NOT_FACES, PICTURES = "not_a_face.jsonl", "pictures"
NO_FACE: FeedbackLabel = "not_a_face"


@dataclass(frozen=True, slots=True)
class SampleRules:
    """What is kept, and for how long.

    Attributes:
        days: Samples whose label is older than this go.
        most: Samples of one camera and label; the oldest go.
        val: Share of groups kept for validation, 0 to 1.
        min_side_px: Shortest side that is taken.
        max_side_px: Longest side that is taken.
        max_bytes: Largest file that is taken.
    """

    days: float = 180.0
    most: int = 500
    val: float = 0.2
    min_side_px: int = 24
    max_side_px: int = 1024
    max_bytes: int = 256 << 10


DEFAULT_RULES = SampleRules()


class SampleLabel(BaseModel):
    """What is said of a sample.

    Attributes:
        subject: Episode, or reference of the picture; a subject has one sample.
        label: Its label; None where those who spoke contradict one another.
        contested: Whether they do; such a sample is kept, but not trained on.
        camera: Camera id.
        ref: Reference of the picture on the frames broker.
        origin: Why it was kept: for an event, or picked as uncertain, contested or at random.
        verdict: What maskwatch had said, if it had.
        by: Who spoke last.
        at: When, unix time, s.
        taken_ms: When the broker took that in, ms by its clock.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    subject: str
    label: FeedbackLabel | None
    contested: bool = False
    camera: str
    ref: str = ""
    origin: FeedbackOrigin = "event"
    verdict: str | None = None
    by: str
    at: float
    taken_ms: int = 0


class Sample(SampleLabel):
    """A sample as it is kept: its label, and its picture by content (``sha``), looks and group."""

    sha: str
    look: str
    group: str
    split: Split
    width: int
    height: int

    @property
    def file(self) -> str:
        """Its picture, from the folder."""
        return f"{PICTURES}/{self.sha[:2]}/{self.sha}.jpg"

    @property
    def member(self) -> Member:
        """It as the grouping sees it."""
        look = np.frombuffer(bytes.fromhex(self.look), np.uint64)
        return Member(self.subject, self.group, self.split, look)


def views(samples: Sequence[Sample]) -> dict[str, bytes]:
    """Write the lists that training reads: each picture once, none whose label is contested in any way."""
    labels: dict[str, set[str]] = {}
    for one in samples:
        labels.setdefault(one.sha, set()).add(one.label or "")
    refused = contradictory(labels)
    usable = {one.sha: one for one in samples if one.label and not one.contested and one.sha not in refused}
    crops = [_row(one) | {"label": one.label} for one in usable.values() if one.label in LABELS]
    others = [_row(one) | {"faces": []} for one in usable.values() if one.label == NO_FACE]
    return {CROPS: lines(crops), NOT_FACES: lines(others)}


def _row(one: Sample) -> dict[str, object]:
    names = ("file", "group", "split", "camera", "by", "at", "origin", "verdict", "subject")
    return {"source": one.camera} | {name: getattr(one, name) for name in names}


def lines(rows: Sequence[dict[str, object]]) -> bytes:
    """Write JSON, a row a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
