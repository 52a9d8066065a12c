"""People's verdicts on alarms: what may be said, who said what, and what it comes to when they disagree. No broker."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from common.advice import nearest
from common.errors import FeedbackRefusedError
from common.events import CameraInfo, ModelInfo, Verdict, timestamp
from common.events.feedback import FeedbackData, FeedbackLabel, FeedbackOrigin, FeedbackState, PastLabel
from common.pictures import PictureRef

LABELS: tuple[FeedbackLabel, ...] = get_args(FeedbackLabel)
VIOLATIONS = ("no_mask", "incorrect")
MAX_OPERATORS = 20
MAX_AHEAD_S = 60.0
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}")
_EVENT = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")


@dataclass(frozen=True, slots=True)
class FeedbackEntry:
    """What somebody hands in, nothing of it checked yet.

    Attributes:
        about: Id of a violation event or of its episode (8 first characters do), or reference of a face picture.
        label: What it is.
        by: Who says so.
        at: When, RFC 3339; empty for now.
        camera: Camera id, which shortens the search; may be empty.
        final: Whether it stands against the words of others.
    """

    about: str
    label: str
    by: str
    at: str = ""
    camera: str = ""
    final: bool = False


class GivenLabel(BaseModel):
    """One person's word, checked. ``at`` is unix time, s."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    label: FeedbackLabel
    by: str
    at: float
    final: bool = False


class FeedbackRecord(BaseModel):
    """Everything said of one episode or one face picture, as it is stored; the last word of each person."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    subject: str
    """Episode id, or the reference of the picture."""
    event_id: str | None = None
    picture: str | None = None
    origin: FeedbackOrigin = "event"
    camera: CameraInfo
    verdict: Verdict | None = None
    model: ModelInfo = ModelInfo()
    given: tuple[GivenLabel, ...] = ()

    @property
    def deciding(self) -> tuple[GivenLabel, ...]:
        """The words that count: the last final one alone, else all."""
        final = [one for one in self.given if one.final]
        return (max(final, key=lambda one: one.at),) if final else self.given

    @property
    def state(self) -> FeedbackState:
        """Whether those who count agree."""
        return "contested" if len({one.label for one in self.deciding}) > 1 else "settled"

    @property
    def outcome(self) -> FeedbackLabel | None:
        """The label that more than half of those who count give; None where there is no such label."""
        counted = Counter(one.label for one in self.deciding).most_common(1)
        return counted[0][0] if counted and 2 * counted[0][1] > len(self.deciding) else None

    @property
    def right(self) -> bool | None:
        """Whether the alarm was right, as far as that is decided; None for faces without an alarm, too."""
        outcome = self.outcome
        return None if outcome is None or self.verdict not in VIOLATIONS else outcome in VIOLATIONS

    @property
    def last_at(self) -> float:
        """When the last word was given, unix time, s."""
        return max((one.at for one in self.given), default=0.0)

    def heard(self, said: GivenLabel) -> FeedbackRecord:
        """Take in a word: the latest of each person counts, and an older one than is known changes nothing.

        Raises:
            FeedbackRefusedError: More people have spoken than a record holds.
        """
        own = next((one for one in self.given if one.by == said.by), None)
        if own is not None and own.at >= said.at:
            return self
        others = tuple(one for one in self.given if one.by != said.by)
        if len(others) >= MAX_OPERATORS:
            raise FeedbackRefusedError(
                "operators", f"{len(others)} people have given a label for {self.subject}; no more are kept"
            )
        return self.model_copy(update={"given": tuple(sorted((*others, said), key=lambda one: (one.at, one.by)))})

    def told(self, said: GivenLabel, before: tuple[GivenLabel, ...]) -> FeedbackData:
        """Say it as an event: this word, and what stood before it."""
        alarm = self.verdict in VIOLATIONS
        return FeedbackData(
            episode=None if self.subject == self.picture else self.subject,
            event_id=self.event_id,
            picture=self.picture,
            origin=self.origin,
            label=said.label,
            by=said.by,
            at=timestamp(said.at),
            final=said.final,
            verdict=self.verdict,
            agreed=None if self.verdict is None else said.label == self.verdict,
            right=said.label in VIOLATIONS if alarm else None,
            state=self.state,
            outcome=self.outcome,
            previous=[PastLabel(label=one.label, by=one.by, at=timestamp(one.at)) for one in before],
            camera=self.camera,
            model=self.model,
        )


def check_entry(entry: FeedbackEntry, now_s: float) -> GivenLabel:
    """Check what somebody handed in, all but whether the event exists.

    Raises:
        FeedbackRefusedError: Label, name or time cannot be used; says why, with the nearest valid label.
    """
    if entry.label not in LABELS:
        raise FeedbackRefusedError("label", f"there is no label {entry.label[:40]!r}{nearest(entry.label, LABELS)}")
    if not _NAME.fullmatch(entry.by) or not entry.by.strip():
        raise FeedbackRefusedError("by", "the name of who says so must have 1 to 64 printable characters")
    at_s = now_s if not entry.at else moment_of(entry.at)
    if at_s > now_s + MAX_AHEAD_S:
        raise FeedbackRefusedError("at", f"{timestamp(at_s)} lies in the future; it is {timestamp(now_s)} here")
    return GivenLabel(label=entry.label, by=entry.by.strip(), at=at_s, final=entry.final)


def check_event_id(text: str) -> str:
    """Give an event or episode id in the form in which it is looked for.

    Raises:
        FeedbackRefusedError: It cannot be an id.
    """
    wanted = text.strip().lower()
    if not _EVENT.fullmatch(wanted):
        raise FeedbackRefusedError(
            "event_id",
            f"{text[:60]!r} is no event id: 8 to 36 characters of 0-9, a-f and '-', as `maskwatch events tail --json` "
            'shows them under "id" or "subject"',
        )
    return wanted


def record_of(event: dict[str, Any]) -> FeedbackRecord:
    """Start the record of a violation event, given as parsed CloudEvents JSON.

    Raises:
        FeedbackRefusedError: It is no violation event that can be read.
    """
    kind, data = str(event.get("type", "")), event.get("data")
    if not kind.startswith("maskwatch.violation.") or not isinstance(data, dict):
        short = kind.removeprefix("maskwatch.").removesuffix(".v1") or "unreadable entry"
        raise FeedbackRefusedError("not_a_violation", f"that is a {short} event; only violations can be judged")
    try:
        return FeedbackRecord(
            subject=event["subject"],
            event_id=event["id"],
            picture=_crop_of(data),
            camera=CameraInfo.model_validate(data["camera"]),
            verdict=data["verdict"],
            model=ModelInfo.model_validate(data.get("model") or {}),
        )
    except (KeyError, ValidationError) as error:
        raise FeedbackRefusedError("not_a_violation", "that event cannot be read by this version") from error


def _crop_of(data: dict[str, Any]) -> str | None:
    """Name the face crop that was kept of an event, if one was."""
    crop = data.get("crop")
    try:
        return PictureRef.of_uri(str(crop["uri"])).uri if crop else None
    except (ValueError, KeyError, TypeError):
        return None


def moment_of(text: str) -> float:
    """Read a time in RFC 3339, or a day, as unix time, s; without a time zone it is UTC.

    Raises:
        FeedbackRefusedError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise FeedbackRefusedError("at", f"{text[:40]!r} is no time: write it as 2026-09-21T14:13:20Z") from error
