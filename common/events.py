"""Events as the world sees them: CloudEvents 1.0 in JSON, with the data of each type as a strict model.

The same bytes go to the event log, and later to webhooks and MQTT. Ids of messages that belong to an episode are
derived from what happened (`episode_event_id`), never from clocks or counters of a process, so that a judge that
repeats its work after a crash writes the same ids again.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.schema import CameraState, ModelRef, Probability

SCHEMA_URI = "https://maskwatch.example/schemas"
_NAMESPACE = uuid.UUID("6d61736b-7761-5463-8000-6576656e7473")

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
IncidentPhase = Literal["opened", "updated", "closed"]
INCIDENT_TYPES: dict[IncidentPhase, str] = {
    "opened": "maskwatch.incident.opened.v1",
    "updated": "maskwatch.incident.updated.v1",
    "closed": "maskwatch.incident.closed.v1",
}
CAMERA_STATUS_TYPE = "maskwatch.camera.status.v1"

Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Votes(_Data):
    """How the frames of the track voted."""

    mask: int = Field(default=0, ge=0)
    no_mask: int = Field(default=0, ge=0)
    incorrect: int = Field(default=0, ge=0)
    undetermined: int = Field(default=0, ge=0)
    frames: int = Field(default=0, ge=0)


class TrackInfo(_Data):
    """The track behind an episode. Its id is local to one camera session and never biometric."""

    id: str
    age_frames: int = Field(ge=0)
    first_seen: Timestamp
    last_seen: Timestamp
    stationary: bool = False
    """It has not moved for five seconds, as a face on a poster or a screen."""


class FaceObject(_Data):
    """Where the face was in the frame that caused the message."""

    type: Literal["face"] = "face"
    bbox: tuple[Share, Share, Share, Share]
    pixel_size: tuple[int, int]
    detector_confidence: Probability


class Quality(_Data):
    """How well the face could be seen."""

    face_px: int | None = None
    """Longer side, px."""
    blur: float | None = None
    """Variance of the Laplacian; small is blurred."""
    yaw: float | None = None
    """Degrees: 0 looks into the camera, positive to the picture's right."""
    occlusion: float | None = None
    """Share of the face that another, nearer face covers."""


class Zones(_Data):
    """Zones that the track is in and has entered."""

    current: list[str] = Field(default_factory=list)
    entered: list[str] = Field(default_factory=list)
    """All since the track began, the first one in front."""
    dwell_ms: int = Field(default=0, ge=0)
    """Time in the current zone that was entered first; 0 outside all zones."""


class FrameInfo(_Data):
    """The frame that caused the message, with its times, so that latency can be read without joins."""

    id: str
    width: int
    height: int
    captured_at: Timestamp
    published_at: Timestamp
    inferred_at: Timestamp


class Place(_Data):
    """Where a camera hangs."""

    name: str = ""
    level: str = ""


class CameraInfo(_Data):
    """The camera, as the site plan names it."""

    id: str
    name: str
    site: str
    place: Place = Place()
    tags: list[str] = Field(default_factory=list)


class ModelInfo(_Data):
    """The model versions behind the verdict."""

    detector: ModelRef | None = None
    classifier: ModelRef | None = None
    backend: str = ""


class PolicyInfo(_Data):
    """The policy that was applied."""

    id: str
    version: int
    required: bool
    grace_ms: int


class PrivacyInfo(_Data):
    """Under which privacy mode the message was made."""

    mode: Literal["full", "redacted", "statistics"] = "full"
    blurred: bool = False
    retain_until: Timestamp | None = None


class WorkerInfo(_Data):
    """Who inferred and judged; for debugging, not for routing."""

    id: str
    host: str = ""


class Feedback(_Data):
    """An operator's verdict on the event, if there is one."""

    state: str
    by: str
    at: Timestamp
    label: str


class ViolationData(_Data):
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
    snapshot: None = None
    worker: WorkerInfo
    feedback: Feedback | None = None
    ext: dict[str, Any] = Field(default_factory=dict)


class CameraStatusData(_Data):
    """Data of ``maskwatch.camera.status.v1``; sent on change, after hysteresis."""

    state: CameraState
    previous: CameraState | None = None
    since: Timestamp
    last_frame_at: Timestamp | None = None
    fps: float = Field(default=0.0, ge=0)
    cause: str = ""
    camera: CameraInfo


class IncidentData(_Data):
    """Data of ``maskwatch.incident.{opened,updated,closed}.v1``: too many people without a mask at one camera."""

    state: IncidentPhase
    rule: str
    """Id of the plan's incident rule."""
    zone: str | None = None
    """Zone that is counted; null for the whole picture."""
    more_than: int | None = None
    """It is open while more people than this count; null where the plan no longer has the rule."""
    within_ms: int | None = None
    """How long a person counts."""
    severity: Severity = "alert"
    persons: int = Field(ge=0)
    """Episodes that count now."""
    peak: int = Field(ge=0)
    """The most so far."""
    opened_at: Timestamp
    closed_at: Timestamp | None = None
    camera: CameraInfo


class CloudEvent(BaseModel):
    """The envelope, CloudEvents 1.0 structured mode, with the partitioning, sequence and tracing extensions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    partitionkey: str
    sequence: str = Field(pattern=r"^\d{12}$")
    """Contiguous for each camera, zero-padded, so that a consumer sees a gap."""
    traceparent: str | None = None
    data: ViolationData | CameraStatusData | IncidentData

    def to_json(self) -> bytes:
        """Give the bytes that are logged and delivered; the optional trace is left out where there is none."""
        dropped = {"traceparent"} if self.traceparent is None else set()
        return self.model_dump_json(exclude=dropped).encode()


def timestamp(unix_s: float) -> str:
    """Write a time in seconds since 1970 as RFC 3339 UTC with milliseconds."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def source_of(site: str, camera: str) -> str:
    """Name the source of a camera's events."""
    return f"/sites/{site}/cameras/{camera}"


def schema_uri(event_type: str) -> str:
    """Name the JSON Schema of an event type; the files lie in ``docs/schemas``."""
    return f"{SCHEMA_URI}/{event_type}.json"


def episode_id(camera: str, rule: str, track_uid: str, ordinal: int) -> str:
    """Name the ``ordinal``-th episode of a track under a rule; the same inputs give the same id on every machine."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|{rule}|{track_uid}|{ordinal}"))


def episode_event_id(episode: str, kind: str, ordinal: int) -> str:
    """Name the ``ordinal``-th message of a kind within an episode; repeating the work repeats the id."""
    return str(uuid.uuid5(_NAMESPACE, f"{episode}|{kind}|{ordinal}"))


def status_event_id(camera: str, session: int, ordinal: int) -> str:
    """Name a camera's status message by its own count in the judge's stored state, so that a repeat repeats the id."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|status|{session}|{ordinal}"))


def incident_id(camera: str, rule: str, ordinal: int) -> str:
    """Name the ``ordinal``-th incident of a rule at a camera."""
    return str(uuid.uuid5(_NAMESPACE, f"{camera}|incident|{rule}|{ordinal}"))


def sequence(number: int) -> str:
    """Write a per-camera sequence number so that it sorts as text."""
    return f"{number:012d}"
