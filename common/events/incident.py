"""Data of incident events: more people without a mask than single cases."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from common.events.parts import CameraInfo, Data, Timestamp
from common.events.violation import Severity

IncidentPhase = Literal["opened", "updated", "closed"]
INCIDENT_TYPES: dict[IncidentPhase, str] = {
    "opened": "maskwatch.incident.opened.v1",
    "updated": "maskwatch.incident.updated.v1",
    "closed": "maskwatch.incident.closed.v1",
}


class IncidentData(Data):
    """Data of ``maskwatch.incident.{opened,updated,closed}.v1``: too many people without a mask.

    They are counted at one camera, or in a zone over all cameras that draw it.
    """

    state: IncidentPhase
    rule: str
    """Id of the plan's incident rule."""
    zone: str | None = None
    """Zone that is counted; null for the whole picture of a camera."""
    more_than: int | None = None
    """It is open while more people than this count; null where the plan no longer has the rule."""
    within_ms: int | None = None
    """How long a person counts."""
    severity: Severity = "alert"
    persons: int = Field(ge=0)
    """Episodes that count now; where the rule merges, those of one person as one."""
    peak: int = Field(ge=0)
    """The most so far."""
    opened_at: Timestamp
    closed_at: Timestamp | None = None
    camera: CameraInfo | None = None
    """The camera; null where the cameras of a zone are counted together."""
    cameras: list[str] = Field(default_factory=list)
    """Cameras that saw the people who count, or have counted since it was opened, sorted."""
