"""Events as the world sees them: CloudEvents 1.0 in JSON, with the data of each type as a strict model.

The same bytes go to the event log, to webhooks and to MQTT.
"""

from __future__ import annotations

from common.events.camera import CAMERA_STATUS_TYPE, CameraStatusData
from common.events.envelope import CloudEvent
from common.events.feedback import FEEDBACK_TYPE, FeedbackData, FeedbackLabel, FeedbackOrigin, FeedbackState, PastLabel
from common.events.incident import INCIDENT_TYPES, IncidentData, IncidentPhase
from common.events.model import MODEL_STATUS_TYPE, ModelAction, ModelStatusData, VersionInfo
from common.events.naming import (
    SCHEMA_URI,
    episode_event_id,
    episode_id,
    incident_id,
    schema_uri,
    sequence,
    site_source,
    source_of,
    status_event_id,
    timestamp,
    window_event_id,
    zone_incident_id,
    zone_source,
)
from common.events.parts import CameraInfo, Place, Share, Timestamp
from common.events.violation import (
    VIOLATION_TYPES,
    Crop,
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
    Snapshot,
    TrackInfo,
    UndeterminedReason,
    Verdict,
    ViolationData,
    Votes,
    WorkerInfo,
    Zones,
)
from common.events.window import WINDOW_TYPE, WindowData

__all__ = [
    "CAMERA_STATUS_TYPE",
    "FEEDBACK_TYPE",
    "INCIDENT_TYPES",
    "MODEL_STATUS_TYPE",
    "SCHEMA_URI",
    "VIOLATION_TYPES",
    "WINDOW_TYPE",
    "CameraInfo",
    "CameraStatusData",
    "CloudEvent",
    "Crop",
    "FaceObject",
    "Feedback",
    "FeedbackData",
    "FeedbackLabel",
    "FeedbackOrigin",
    "FeedbackState",
    "FrameInfo",
    "IncidentData",
    "IncidentPhase",
    "Lifecycle",
    "ModelAction",
    "ModelInfo",
    "ModelStatusData",
    "PastLabel",
    "Place",
    "PolicyInfo",
    "PrivacyInfo",
    "Quality",
    "Reason",
    "Severity",
    "Share",
    "Snapshot",
    "Timestamp",
    "TrackInfo",
    "UndeterminedReason",
    "Verdict",
    "VersionInfo",
    "ViolationData",
    "Votes",
    "WindowData",
    "WorkerInfo",
    "Zones",
    "episode_event_id",
    "episode_id",
    "incident_id",
    "schema_uri",
    "sequence",
    "site_source",
    "source_of",
    "status_event_id",
    "timestamp",
    "window_event_id",
    "zone_incident_id",
    "zone_source",
]
