"""Data of camera status events."""

from __future__ import annotations

from pydantic import Field

from common.events.parts import CameraInfo, Data, Timestamp
from common.schema import CameraState

CAMERA_STATUS_TYPE = "maskwatch.camera.status.v1"


class CameraStatusData(Data):
    """Data of ``maskwatch.camera.status.v1``; sent on change, after hysteresis."""

    state: CameraState
    previous: CameraState | None = None
    since: Timestamp
    last_frame_at: Timestamp | None = None
    fps: float = Field(default=0.0, ge=0)
    cause: str = ""
    camera: CameraInfo
