"""Votes of single frames on one face, and the verdict that they add up to.

A vote is one small whole number: label (2 bits), weight (4 bits), probability (6 bits). Whole numbers keep the sums
exact, so that a judge that takes over from stored state comes to the very same verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.events import UndeterminedReason
from common.resultrecord import Face
from workers.judge.limits import Rule
from workers.judge.quality import AWAY_DEG, FRONTAL_DEG, Look

MASK, NO_MASK, INCORRECT, UNDETERMINED = range(4)
NAMES = ("mask", "no_mask", "incorrect", "undetermined")

MIN_PROBABILITY = 0.55
LEAD = 0.15
SWITCH_SHARE = 0.1
SHARP_BLUR = 60.0
CLEAR_FACE_PX = 48.0
LEAST_BLUR = 2.0  # photographs enlarged to a soft 30 px still classify well above this
MOST_OCCLUSION = 0.5
_TOO_SMALL, _FACING_AWAY, _BLURRED, _OCCLUDED, _UNSURE = 1, 2, 3, 4, 15
REASONS: dict[int, UndeterminedReason] = {
    _TOO_SMALL: "too_small",
    _FACING_AWAY: "facing_away",
    _BLURRED: "blurred",
    _OCCLUDED: "occluded",
    _UNSURE: "unsure",
}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


def vote_of(face: Face, look: Look, rule: Rule) -> int:
    """Turn what one frame shows into a vote.

    Args:
        face: The reading.
        look: How well it could be seen.
        rule: Says how small a face may be.

    Returns:
        The vote. Larger, sharper, more certainly detected faces that look into the camera weigh more. Undetermined
        where too little can be seen or no class is likely enough; its weight then is the reason, see `REASONS`.
    """
    probabilities = face.probabilities
    best = max(probabilities)
    reason = _too_thin(look, best, rule)
    if reason:
        return UNDETERMINED << 10 | reason << 6 | round(best * 63)
    face_px, blur, yaw, _ = look
    weight = face.score
    if face_px < CLEAR_FACE_PX:
        weight *= max(0.3, face_px / CLEAR_FACE_PX)
    if blur is not None and blur < SHARP_BLUR:
        weight *= max(0.3, blur / SHARP_BLUR)
    if yaw is not None and not -FRONTAL_DEG <= yaw <= FRONTAL_DEG:
        weight *= max(0.3, 1 - 0.7 * (abs(yaw) - FRONTAL_DEG) / (AWAY_DEG - FRONTAL_DEG))
    return probabilities.index(best) << 10 | (round(weight * 15) or 1) << 6 | round(best * 63)


def _too_thin(look: Look, best: float, rule: Rule) -> int:
    face_px, blur, yaw, occlusion = look
    if face_px < rule.min_face_px:
        return _TOO_SMALL
    if occlusion > MOST_OCCLUSION:
        return _OCCLUDED
    if yaw is not None and not -AWAY_DEG <= yaw <= AWAY_DEG:
        return _FACING_AWAY
    if blur is not None and blur < LEAST_BLUR:
        return _BLURRED
    return _UNSURE if best < MIN_PROBABILITY else 0


class VoteWindow:
    """The last votes on one track with their running sums.

    Attributes:
        votes: Oldest first.
        count: Votes by label.
        weight: Their weight by label.
        probability: Sum of their probabilities by label, in 1/63.
    """

    __slots__ = ("count", "probability", "votes", "weight")

    def __init__(self, votes: Sequence[int] = ()) -> None:
        self.votes: list[int] = []
        self.count = [0, 0, 0, 0]
        self.weight = [0, 0, 0, 0]
        self.probability = [0, 0, 0, 0]
        for vote in votes:
            self.push(vote, len(votes))

    def push(self, vote: int, size: int) -> None:
        """Add a vote and forget the oldest ones beyond ``size``."""
        votes, count, weight, probability = self.votes, self.count, self.weight, self.probability
        votes.append(vote)
        label = vote >> 10
        count[label] += 1
        weight[label] += (vote >> 6) & 15
        probability[label] += vote & 63
        while len(votes) > size:
            oldest = votes.pop(0)
            label = oldest >> 10
            count[label] -= 1
            weight[label] -= (oldest >> 6) & 15
            probability[label] -= oldest & 63

    def confidence(self, label: int) -> float:
        """Give the mean probability of the votes for a label, 0 to 1."""
        return self.probability[label] / (63 * self.count[label]) if self.count[label] else 0.0

    def to_text(self) -> str:
        """Write the window as two letters a vote."""
        return "".join([_PAIRS[vote] for vote in self.votes])

    @classmethod
    def from_text(cls, text: str) -> VoteWindow:
        """Read what `to_text` wrote."""
        pairs = zip(text[::2], text[1::2], strict=True)
        return cls([_VALUE[high] << 6 | _VALUE[low] for high, low in pairs])


def decide(window: VoteWindow, current: int, rule: Rule) -> int:
    """Say the verdict of a window.

    A first verdict needs ``rule.min_votes`` votes, ``rule.min_share`` of the weight and a lead over the next label. A
    standing verdict falls only to a label with a larger share still and enough votes of its own, so single wrong
    frames, and a head turned away, change nothing.

    Args:
        window: The votes.
        current: The standing verdict; `UNDETERMINED` where there is none.
        rule: The policy's thresholds.

    Returns:
        The verdict, `UNDETERMINED` while the evidence is thin.
    """
    mask, no_mask, incorrect, _ = window.weight
    total = mask + no_mask + incorrect
    if current != UNDETERMINED and window.weight[current] == total:
        return current
    best = NO_MASK if no_mask >= incorrect else INCORRECT
    if mask > window.weight[best]:
        best = MASK
    top = window.weight[best]
    second = max(no_mask, incorrect) if best == MASK else max(mask, no_mask + incorrect - top)
    determined = len(window.votes) - window.count[UNDETERMINED]
    if total == 0 or determined < rule.min_votes or top - second < LEAD * total:
        return current
    if current == UNDETERMINED:
        return best if top >= rule.min_share * total else current
    firm = top >= min(1.0, rule.min_share + SWITCH_SHARE) * total and window.count[best] >= rule.min_votes
    return best if firm else current


def why_undetermined(window: VoteWindow, rule: Rule) -> UndeterminedReason | None:
    """Say why a window holds no verdict, or why most of its frames do not count.

    Returns:
        The commonest reason of the frames that do not count, where they are more than half; ``votes_disagree`` where
        enough frames count and contradict one another; None where they agree, or there are just too few yet.
    """
    if 2 * window.count[UNDETERMINED] > len(window.votes):
        codes = [(vote >> 6) & 15 for vote in window.votes if vote >> 10 == UNDETERMINED]
        return REASONS.get(max(sorted(set(codes)), key=codes.count))
    determined = len(window.votes) - window.count[UNDETERMINED]
    if determined >= rule.min_votes and decide(window, UNDETERMINED, rule) == UNDETERMINED:
        return "votes_disagree"
    return None
