"""The life of a violation on one track: started once it is sure, updated when it changes, ended always.

Pure: a `Case` and what is known now go in, the messages to send come out. What was announced is part of the case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from common.events import Lifecycle, Reason, Severity
from workers.judge.gallery import Gallery
from workers.judge.limits import Rule
from workers.judge.votes import INCORRECT, MASK, NO_MASK, UNDETERMINED, VoteWindow
from workers.judge.zoning import NO_PASSAGE, Passage

SEVERITY_OF = {NO_MASK: 2, INCORRECT: 1}
_SHARES = [round(share / 63, 3) for share in range(64)]
SEVERITIES: tuple[Severity, Severity, Severity] = ("info", "warning", "alert")


class Step(NamedTuple):
    """A message that is due."""

    lifecycle: Lifecycle
    reason: Reason
    ordinal: int
    """Which message of its kind within the episode."""
    changes: tuple[str, ...] = ()


@dataclass(slots=True)
class Case:
    """What has been seen and said about one track. Times in ms of capture, 0 for never.

    Attributes:
        verdict: The standing verdict.
        since_ms: When the face was first seen uncovered or wrongly covered, without being covered since.
        best: Highest probability, and its time, for no_mask and for incorrect.
        is_open: Whether an episode runs.
        ordinal: Episodes begun so far.
        severity: Of the running or the last episode; index in `SEVERITIES`.
        told: The verdict in the last message.
        told_ms: Time of the last message.
        updates: Updates of the running episode.
        started_ms: Start of the running or the last episode.
        ended_ms: End of the last one.
        rule: Policy under which the running or the last episode began; part of its id.
        gallery: Pictures of the person.
    """

    verdict: int = UNDETERMINED
    since_ms: int = 0
    best: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0), (0.0, 0)])
    is_open: bool = False
    ordinal: int = 0
    severity: int = 0
    told: int = UNDETERMINED
    told_ms: int = 0
    updates: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    rule: str = ""
    gallery: Gallery = field(default_factory=Gallery)

    def observe(self, vote: int, window: VoteWindow, t_ms: int) -> None:
        """Note one frame's vote: when a violation began, and which frame showed it best."""
        label = vote >> 10
        if label in SEVERITY_OF:
            self.since_ms = self.since_ms or t_ms
            probability = _SHARES[vote & 63]
            if probability > self.best[label - 1][0]:
                self.best[label - 1] = (probability, t_ms)
        elif label == MASK and not self.is_open and self.since_ms:
            weight = window.weight
            if self.verdict == MASK or weight[MASK] > weight[NO_MASK] + weight[INCORRECT]:
                self.forget()

    def forget(self) -> None:
        """Start over: the face is covered."""
        self.since_ms = 0
        self.best = [(0.0, 0), (0.0, 0)]
        self.gallery.best = None


def step(case: Case, t_ms: int, rule: Rule, update_ms: int, passage: Passage = NO_PASSAGE) -> Step | None:
    """Say which message the verdict of this frame asks for, and note that it was sent.

    Args:
        case: With the verdict of this frame; changed in place.
        t_ms: Capture time of the frame.
        rule: The policy in force for this face.
        update_ms: Shortest pause between two updates that are not for the worse.
        passage: Zones that the face has entered or left with this frame.
    """
    severity = SEVERITY_OF.get(case.verdict, 0)
    if case.is_open and case.verdict == MASK:
        return close(case, t_ms, "class_changed")
    if not rule.required:
        return release(case, t_ms, _passed(passage) or "policy_changed")
    if case.is_open:
        return _update(case, severity, (t_ms, update_ms), passage)
    if not severity or passage.unsettled or not case.since_ms or t_ms - case.since_ms < rule.grace_ms:
        return None
    if case.ordinal and t_ms - case.ended_ms < rule.cooldown_ms and severity <= case.severity:
        return None
    case.is_open, case.severity, case.told, case.told_ms = True, severity, case.verdict, t_ms
    case.started_ms, case.updates = case.since_ms, 0
    case.ordinal += 1
    case.rule = rule.name
    case.gallery.shown = None
    return Step("started", "first_confirmed", 0, ("lifecycle", "verdict", "severity"))


def close(case: Case, ended_ms: int, reason: Reason) -> Step | None:
    """End the running episode, if there is one."""
    if not case.is_open:
        return None
    case.is_open, case.ended_ms = False, max(ended_ms, case.started_ms)
    changes = ("lifecycle", "verdict", "ended_at") if case.verdict != case.told else ("lifecycle", "ended_at")
    if case.verdict == MASK:
        case.forget()
    return Step("ended", reason, 0, changes)


def release(case: Case, t_ms: int, reason: Reason) -> Step | None:
    """End the running episode because a mask is no longer asked for; what was seen no longer counts."""
    due = close(case, t_ms, reason)
    case.forget()
    return due


def _passed(passage: Passage) -> Reason | None:
    return "zone_entered" if passage.entered else "left_zone" if passage.left else None


def _update(case: Case, severity: int, times: tuple[int, int], passage: Passage) -> Step | None:
    (t_ms, update_ms), moved = times, _passed(passage)
    another = bool(severity) and case.verdict != case.told
    worse = another and severity > case.severity
    pause_over = t_ms - case.told_ms >= update_ms
    better = pause_over and case.gallery.much_better(t_ms)
    if not (worse or moved or better or (another and pause_over)):
        return None
    changes = (("verdict",) if another else ()) + (("severity",) if worse else ()) + (("zones",) if moved else ())
    if another:
        case.severity, case.told = max(case.severity, severity), case.verdict
    case.told_ms = t_ms
    case.updates += 1
    reason: Reason = "severity_raised" if worse else moved or ("class_changed" if another else "better_snapshot")
    return Step("updated", reason, case.updates - 1, changes)
