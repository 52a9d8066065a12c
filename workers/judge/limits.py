"""The judge's knobs, in one frozen value: what a policy does not say and an operator rarely needs."""

from __future__ import annotations

from dataclasses import dataclass

from common.siteplan import Policy


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the judge is. Times in ms; broker time where frames wait, capture time where people are followed.

    Attributes:
        reorder_frames: Results that may wait for an earlier one of their camera.
        reorder_ms: How long they wait, broker time.
        tail_ms: How long frames that a mark has promised may stay away before they count as trimmed.
        session_silent_ms: Silence of a session after which an older one may take over again.
        silent_ms: Silence of a camera (no result, no mark) after which it counts as offline.
        frames_stopped_ms: Time without a judged frame after which open episodes end, though the camera is online.
        lost_ms: Time after which a person who is no longer seen is gone, if last seen at the picture's edge.
        lost_frames: Frames that must have missed the person too, so that a slow camera does not lose everybody.
        lost_at_most_ms: Time after which a person is gone however few frames there were.
        reattach_ms: The same for a person who vanished within the picture, and may turn up again where expected.
        tentative_ms: Time that a face seen once waits for its second sight.
        tracks: Faces followed at a time.
        update_ms: Shortest pause between two updates of an episode, unless it becomes worse.
    """

    reorder_frames: int = 5
    reorder_ms: int = 300
    tail_ms: int = 3000
    session_silent_ms: int = 10_000
    silent_ms: int = 8000
    frames_stopped_ms: int = 10_000
    lost_ms: int = 1500
    lost_frames: int = 2
    lost_at_most_ms: int = 6000
    reattach_ms: int = 3500
    tentative_ms: int = 700
    tracks: int = 32
    update_ms: int = 5000


DEFAULT_LIMITS = Limits()
CONFIRM_MS = 600  # at a high frame rate four votes come from one and the same moment


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy in the form in which every frame asks it.

    Attributes:
        name: Policy id; part of every episode's id.
        required: Whether a worn mask is asked for.
        grace_ms: Time that a face may stay uncovered; at least 0.6 s in a prepared policy.
        min_face_px: Longer side below which a face says nothing.
        min_votes: Votes needed before anything is said.
        min_share: Share of the weighted votes that must agree, 0 to 1.
        cooldown_ms: Pause after an episode of a track.
        window: Votes that are remembered.
    """

    name: str = "default"
    required: bool = True
    grace_ms: int = 0
    min_face_px: int = 20
    min_votes: int = 4
    min_share: float = 0.6
    cooldown_ms: int = 10_000
    window: int = 12

    @classmethod
    def of(cls, policy: Policy) -> Rule:
        """Prepare a policy; at most 40 votes are remembered, and asked for, however many it names."""
        return cls(
            name=policy.id,
            required=policy.required,
            grace_ms=max(CONFIRM_MS, round(policy.grace_s * 1000)),
            min_face_px=policy.min_face_px,
            min_votes=min(policy.min_votes, 40),
            min_share=policy.min_share,
            cooldown_ms=round(policy.cooldown_s * 1000),
            window=min(40, max(8, 3 * policy.min_votes)),
        )
