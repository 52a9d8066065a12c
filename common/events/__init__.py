"""Events as the world sees them: CloudEvents 1.0 in JSON, with the data of each type as a strict model.

The same bytes go to the event log, to webhooks and to MQTT.
"""

from __future__ import annotations

from common.events.camera import CAMERA_STATUS_TYPE, CameraStatusData
from common.events.envelope import CloudEvent
from common.events.incident import INCIDENT_TYPES, IncidentData, IncidentPhase
from common.events.naming import (
    SCHEMA_URI,
    episode_event_id,
    episode_id,
    incident_id,
    schema_uri,
    sequence,
    source_of,
    status_event_id,
    timestamp,
)
from common.events.parts import CameraInfo, Place, Share, Timestamp
from common.events.violation import (
    VIOLATION_TYPES,
    FaceObject,
    Feedback,
    FrameInfo,
    Lifecycle,
    ModelInfo,
    PolicyInfo,
    PrivacyInfo,
    Quality,
    Reason,
    Severity,
    TrackInfo,
    UndeterminedReason,
    Verdict,
    ViolationData,
    Votes,
    WorkerInfo,
    Zones,
)

__all__ = [
    "CAMERA_STATUS_TYPE",
    "INCIDENT_TYPES",
    "SCHEMA_URI",
    "VIOLATION_TYPES",
    "CameraInfo",
    "CameraStatusData",
    "CloudEvent",
    "FaceObject",
    "Feedback",
    "FrameInfo",
    "IncidentData",
    "IncidentPhase",
    "Lifecycle",
    "ModelInfo",
    "Place",
    "PolicyInfo",
    "PrivacyInfo",
    "Quality",
    "Reason",
    "Severity",
    "Share",
    "Timestamp",
    "TrackInfo",
    "UndeterminedReason",
    "Verdict",
    "ViolationData",
    "Votes",
    "WorkerInfo",
    "Zones",
    "episode_event_id",
    "episode_id",
    "incident_id",
    "schema_uri",
    "sequence",
    "source_of",
    "status_event_id",
    "timestamp",
]
