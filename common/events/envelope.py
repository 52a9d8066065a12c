"""The envelope of every event: CloudEvents 1.0 in JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.events.camera import CameraStatusData
from common.events.feedback import FeedbackData
from common.events.incident import IncidentData
from common.events.model import ModelStatusData
from common.events.parts import Timestamp
from common.events.violation import ViolationData
from common.events.window import WindowData


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
    """Contiguous for each source, zero-padded, so that a consumer sees a gap."""
    traceparent: str | None = None
    data: ViolationData | CameraStatusData | IncidentData | FeedbackData | WindowData | ModelStatusData

    def to_json(self) -> bytes:
        """Give the bytes that are logged and delivered; the optional trace is left out where there is none."""
        dropped = {"traceparent"} if self.traceparent is None else set()
        return self.model_dump_json(exclude=dropped).encode()
