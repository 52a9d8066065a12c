"""Data of feedback events: what people said of an alarm, or of a face that was shown to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from common.events.parts import CameraInfo, Data, Timestamp
from common.events.violation import ModelInfo, Verdict

FEEDBACK_TYPE = "maskwatch.feedback.recorded.v1"

FeedbackLabel = Literal["mask", "no_mask", "incorrect", "not_a_face"]
FeedbackState = Literal["settled", "contested"]
"""Settled: all who spoke agree, or one spoke for good. Contested: they contradict one another."""
FeedbackOrigin = Literal["event", "uncertain", "contested", "random"]


class PastLabel(Data):
    """What somebody had said before, this person or another."""

    label: FeedbackLabel
    by: str
    at: Timestamp


class FeedbackData(Data):
    """Data of ``maskwatch.feedback.recorded.v1``: one person's word on one episode, or on one face picture."""

    episode: str | None = None
    """The episode, which is the ``subject`` of its violation events; null for a face that raised no alarm."""
    event_id: str | None = None
    """The message of that episode that was judged."""
    picture: str | None = None
    """Reference of the face picture, where one was kept."""
    origin: FeedbackOrigin = "event"
    """Why the face was shown: for an event, or picked as uncertain, contested or at random."""
    label: FeedbackLabel
    """What this person says it is."""
    by: str
    at: Timestamp
    final: bool = False
    """This word stands against those of others."""
    verdict: Verdict | None = None
    """What maskwatch had said; null for a face that raised no alarm."""
    agreed: bool | None = None
    """Whether the label is that verdict; null where there was none."""
    right: bool | None = None
    """Whether there was a violation at all, so that the alarm was right; null where there was none."""
    state: FeedbackState
    outcome: FeedbackLabel | None = None
    """What all who spoke say together; null where no more than half agree."""
    previous: list[PastLabel] = Field(default_factory=list)
    """The labels that stood before, the oldest in front."""
    camera: CameraInfo
    model: ModelInfo = ModelInfo()
    """The versions behind the verdict."""
