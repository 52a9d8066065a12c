"""The parts of a site plan: cameras, policies, incident rules, privacy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.events import Place
from common.hours import Hours, TimeZoneName
from common.pictures import Training
from common.schema import CameraId
from common.zones import Polygon, ZoneId

PrivacyMode = Literal["full", "redacted", "statistics"]


class Part(BaseModel):
    """What every part is: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Policy(Part):
    """What is asked of people, and when a verdict is firm enough to act on."""

    id: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description="Name stamped into events.")
    version: int = Field(default=1, ge=1, description="Raise it with every change, so that events tell them apart.")
    required: bool = Field(default=True, description="Whether a worn mask is asked for here.")
    grace_s: float = Field(default=0.0, ge=0, le=600, description="Seconds that a face may stay uncovered.")
    min_face_px: int = Field(default=20, ge=8, le=1000, description="Faces with a shorter longer side do not vote.")
    min_votes: int = Field(default=4, ge=1, le=1000, description="Votes needed before anything is said.")
    min_share: float = Field(default=0.6, ge=0.5, le=1, description="Share of the recent votes that must agree.")
    cooldown_s: float = Field(default=10.0, ge=0, le=3600, description="Pause before one track may start again.")
    hours: list[Hours] = Field(default_factory=list, max_length=50, description="Hours in which something else holds.")
    time_zone: TimeZoneName | None = Field(default=None, description="Of these hours; the site's if left out.")
    snapshots: bool | None = Field(
        default=None, description="Whether violations are pictured; as privacy says if left out."
    )
    training: Training = Training()


class Camera(Part):
    """One camera: where its pictures come from and how many of them are wanted."""

    id: CameraId = Field(description="Lower-case letters, digits, '_', '.', '-'; at most 63.")
    source: str = Field(
        min_length=1,
        description="rtsp://…, http(s)://…, a video file, a folder of pictures, webcam:N, or synthetic:NAME.",
    )
    name: str = Field(default="", max_length=100, description="What people call it.")
    place: Place = Field(default=Place(), description="Where it hangs.")
    tags: list[str] = Field(default_factory=list, max_length=20)
    fps: float = Field(default=5.0, gt=0, le=60, description="Frames a second that are looked at.")
    width: int = Field(default=1280, ge=160, le=4096, description="Wider frames are scaled down to this many pixels.")
    jpeg_quality: int = Field(default=80, ge=30, le=100, description="Quality of re-encoded frames.")
    detect_px: int | None = Field(
        default=None,
        ge=256,
        le=1920,
        description="Long side at which faces are looked for, a multiple of 32: 320 where they are large, 960 where "
        "they are small; as the workers' setting (640) if left out.",
    )
    motion_gate: bool = Field(default=False, description="Publish only while something moves.")
    loop: bool = Field(default=False, description="Start a file or folder again at its end.")
    realtime: bool = Field(default=True, description="Play a file at its own speed rather than as fast as possible.")
    policy: str = Field(default="default", description="Id of the policy that applies outside zones with their own.")
    zones: dict[ZoneId, Polygon] = Field(
        default_factory=dict, max_length=32, description="Zone id → corners [x, y] in 0–1 of the picture."
    )
    privacy: Literal["statistics"] | None = Field(
        default=None, description="statistics: this camera is only counted; as the site's privacy.mode if left out."
    )

    @field_validator("detect_px")
    @classmethod
    def _fits_the_detector(cls, value: int | None) -> int | None:
        if value is not None and value % 32:
            raise ValueError(f"{value} is no multiple of 32; nearest: {32 * round(value / 32)}")
        return value


class IncidentRule(Part):
    """When so many people without a mask are more than single cases."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description="Name, stamped into events.")
    zone: str | None = Field(
        default=None, description="Zone in which people count, at all cameras that draw it; each camera if left out."
    )
    more_than: int = Field(ge=0, le=50, description="An incident begins with more people than this.")
    within_min: float = Field(gt=0, le=1440, description="Minutes for which a person counts.")
    verdicts: list[Literal["no_mask", "incorrect"]] = Field(
        default=["no_mask"], min_length=1, description="Which verdicts count."
    )
    merge_s: float = Field(
        default=0.0, ge=0, le=600, description="Two cameras' episodes that begin within these seconds are one person."
    )


class Privacy(Part):
    """Which personal data may arise."""

    mode: PrivacyMode = Field(
        default="full", description="full: events of persons; redacted: no recognisable face; statistics: only counts."
    )
    snapshots: bool = Field(default=False, description="Whether violations are pictured, all others' faces blurred.")
    snapshot_hours: float = Field(default=24.0, gt=0, le=72, description="Hours after which a snapshot is gone.")
