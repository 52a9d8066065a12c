"""Data of violation events: one episode of one person, from first confirmation to its end."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from common.events.parts import CameraInfo, Data, Share, Timestamp
from common.schema import ModelRef, Probability

Verdict = Literal["mask", "no_mask", "incorrect", "undetermined"]
Severity = Literal["info", "warning", "alert"]
Lifecycle = Literal["started", "updated", "ended"]
Reason = Literal[
    "first_confirmed",
    "better_snapshot",
    "zone_entered",
    "class_changed",
    "severity_raised",
    "track_lost",
    "left_zone",
    "camera_lost",
    "timeout",
    "policy_changed",
]

UndeterminedReason = Literal["too_small", "facing_away", "blurred", "occluded", "unsure", "votes_disagree"]

VIOLATION_TYPES: dict[Lifecycle, str] = {
    "started": "maskwatch.violation.started.v1",
    "updated": "maskwatch.violation.updated.v1",
    "ended": "maskwatch.violation.ended.v1",
}


class Votes(Data):
    """How the frames of the track voted."""

    mask: int = Field(default=0, ge=0)
    no_mask: int = Field(default=0, ge=0)
    incorrect: int = Field(default=0, ge=0)
    undetermined: int = Field(default=0, ge=0)
    frames: int = Field(default=0, ge=0)


class TrackInfo(Data):
    """The track behind an episode. Its id is local to one camera session and never biometric."""

    id: str
    age_frames: int = Field(ge=0)
    first_seen: Timestamp
    last_seen: Timestamp
    stationary: bool = False
    """It has not moved for five seconds, as a face on a poster or a screen."""


class FaceObject(Data):
    """Where the face was in the frame that caused the message."""

    type: Literal["face"] = "face"
    bbox: tuple[Share, Share, Share, Share]
    pixel_size: tuple[int, int]
    detector_confidence: Probability


class Quality(Data):
    """How well the face could be seen."""

    face_px: int | None = None
    """Longer side, px."""
    blur: float | None = None
    """Variance of the Laplacian; small is blurred."""
    yaw: float | None = None
    """Degrees: 0 looks into the camera, positive to the picture's right."""
    occlusion: float | None = None
    """Share of the face that another, nearer face covers."""


class Zones(Data):
    """Zones that the track is in and has entered."""

    current: list[str] = Field(default_factory=list)
    entered: list[str] = Field(default_factory=list)
    """All since the track began, the first one in front."""
    dwell_ms: int = Field(default=0, ge=0)
    """Time in the current zone that was entered first; 0 outside all zones."""


class FrameInfo(Data):
    """The frame that caused the message, with its times, so that latency can be read without joins."""

    id: str
    width: int
    height: int
    captured_at: Timestamp
    published_at: Timestamp
    inferred_at: Timestamp


class ModelInfo(Data):
    """The model versions behind the verdict."""

    detector: ModelRef | None = None
    classifier: ModelRef | None = None
    backend: str = ""


class PolicyInfo(Data):
    """The policy that was applied."""

    id: str
    version: int
    required: bool
    grace_ms: int


class PrivacyInfo(Data):
    """Under which privacy mode the message was made."""

    mode: Literal["full", "redacted", "statistics"] = "full"
    blurred: bool = False
    """Whether there is a snapshot in which faces were made unrecognisable: all but the subject, or all."""
    retain_until: Timestamp | None = None
    """When the snapshot will be gone."""


class Snapshot(Data):
    """A small picture of the face and what is around it; everybody else in it is unrecognisable. Never the bytes."""

    uri: str = Field(pattern=r"^maskwatch:snapshot/")
    """Names it; ``maskwatch events snapshot`` fetches it for those who may, until ``privacy.retain_until``."""
    media_type: Literal["image/jpeg"] = "image/jpeg"
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    blurred: bool
    """Whether the face itself is unrecognisable, too."""
    sha256: str


class Crop(Data):
    """A crop of the face that may be trained on, where there is consent to that. Never the bytes."""

    uri: str = Field(pattern=r"^maskwatch:crop/")
    retain_until: Timestamp


class WorkerInfo(Data):
    """Who inferred and judged; for debugging, not for routing."""

    id: str
    host: str = ""


class Feedback(Data):
    """An operator's verdict on the event, if there is one."""

    state: str
    by: str
    at: Timestamp
    label: str


class ViolationData(Data):
    """Data of ``maskwatch.violation.{started,updated,ended}.v1``."""

    lifecycle: Lifecycle
    changes: list[str] = Field(default_factory=list)
    reason: Reason
    severity: Severity
    verdict: Verdict
    verdict_detail: Literal["nose_exposed", "chin_only", "hand_or_object"] | None = None
    undetermined_reason: UndeterminedReason | None = None
    """Why most of the last frames do not count, or contradict one another; null where they count and agree."""
    confidence: Probability
    votes: Votes
    top_score: Probability
    best_frame_time: Timestamp
    track: TrackInfo
    object: FaceObject
    quality: Quality = Quality()
    zones: Zones = Zones()
    started_at: Timestamp
    ended_at: Timestamp | None = None
    duration_ms: int = Field(ge=0)
    frame: FrameInfo
    camera: CameraInfo
    model: ModelInfo
    policy: PolicyInfo
    privacy: PrivacyInfo = PrivacyInfo()
    snapshot: Snapshot | None = None
    crop: Crop | None = None
    worker: WorkerInfo
    feedback: Feedback | None = None
    ext: dict[str, Any] = Field(default_factory=dict)
