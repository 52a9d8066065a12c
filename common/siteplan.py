"""The site plan: one file that says which cameras there are, where they hang, and what is asked of people there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.advice import explain, nearest
from common.errors import SitePlanError
from common.events import Place
from common.hours import Hours, TimeZoneName, overlap
from common.schema import CameraId
from common.zones import Polygon, Zone, ZoneId

MAX_PLAN_BYTES = 4 << 20
_OWN_PATH = re.compile(r"^\(top level\): (?=(cameras|policies|zones|incidents)\[)", re.MULTILINE)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Policy(_Part):
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


class Camera(_Part):
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
    motion_gate: bool = Field(default=False, description="Publish only while something moves.")
    loop: bool = Field(default=False, description="Start a file or folder again at its end.")
    realtime: bool = Field(default=True, description="Play a file at its own speed rather than as fast as possible.")
    policy: str = Field(default="default", description="Id of the policy that applies outside zones with their own.")
    zones: dict[ZoneId, Polygon] = Field(
        default_factory=dict, max_length=32, description="Zone id → corners [x, y] in 0–1 of the picture."
    )


class IncidentRule(_Part):
    """When so many people without a mask are more than single cases; counted at each camera by itself."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description="Name, stamped into events.")
    zone: str | None = Field(default=None, description="Zone in which people count; the whole picture if left out.")
    more_than: int = Field(ge=0, le=50, description="An incident begins with more people than this.")
    within_min: float = Field(gt=0, le=1440, description="Minutes for which a person counts.")
    verdicts: list[Literal["no_mask", "incorrect"]] = Field(
        default=["no_mask"], min_length=1, description="Which verdicts count."
    )


class Privacy(_Part):
    """Which personal data may arise."""

    mode: Literal["full"] = Field(default="full", description="Per-person events without images or identities.")


class SitePlan(_Part):
    """The whole plan; published in one piece and versioned by the broker."""

    site: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="Name of the site, part of every event.")
    cameras: list[Camera] = Field(default_factory=list, max_length=5000)
    policies: list[Policy] = Field(default_factory=lambda: [Policy()], min_length=1, max_length=200)
    zones: list[Zone] = Field(
        default_factory=list, max_length=500, description="Named areas; where they overlap the first one decides."
    )
    incidents: list[IncidentRule] = Field(default_factory=list, max_length=20, description="What is an incident.")
    time_zone: TimeZoneName = Field(default="UTC", description="Where the site is, such as Europe/Berlin.")
    privacy: Privacy = Privacy()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        seen: dict[str, int] = {}
        for index, camera in enumerate(self.cameras):
            if camera.id in seen:
                raise ValueError(f"cameras[{index}].id: '{camera.id}' is already cameras[{seen[camera.id]}]")
            seen[camera.id] = index
        policies = [policy.id for policy in self.policies]
        _unique("policies", policies)
        for index, camera in enumerate(self.cameras):
            _known(f"cameras[{index}].policy", "policy", camera.policy, policies)
        for index, policy in enumerate(self.policies):
            clash = overlap(policy.hours)
            if clash is not None:
                raise ValueError(f"policies[{index}].hours[{clash[0]}]: overlaps hours[{clash[1]}] on {clash[2]}")
        self._zones_fit(policies)
        return self

    def _zones_fit(self, policies: list[str]) -> None:
        names = [zone.id for zone in self.zones]
        _unique("zones", names)
        for index, camera in enumerate(self.cameras):
            for name in camera.zones:
                _known(f"cameras[{index}].zones.{name}", "zone", name, names)
        _unique("incidents", [rule.id for rule in self.incidents])
        for index, rule in enumerate(self.incidents):
            if rule.zone is not None:
                _known(f"incidents[{index}].zone", "zone", rule.zone, names)
        drawn = {name for camera in self.cameras for name in camera.zones}
        for index, zone in enumerate(self.zones):
            if zone.policy is not None:
                _known(f"zones[{index}].policy", "policy", zone.policy, policies)
                if zone.id not in drawn:
                    hint = nearest(zone.id, drawn) or "; draw it under cameras[0].zones"
                    raise ValueError(f"zones[{index}]: policy '{zone.policy}' for a zone that no camera draws{hint}")

    def camera(self, camera_id: str) -> Camera | None:
        """Find a camera by its id."""
        return next((camera for camera in self.cameras if camera.id == camera_id), None)

    def policy_of(self, camera_id: str) -> Policy:
        """Give the policy that applies to a camera; the first policy where the camera is not in the plan."""
        camera = self.camera(camera_id)
        return self.policy(camera.policy) if camera else self.policies[0]

    def policy(self, policy_id: str) -> Policy:
        """Give a policy by its id, which must be in the plan."""
        return next(policy for policy in self.policies if policy.id == policy_id)

    def zones_of(self, camera_id: str) -> list[tuple[Zone, Polygon]]:
        """Give the zones that a camera draws, with its polygons, the one that decides first."""
        camera = self.camera(camera_id)
        drawn = camera.zones if camera else {}
        return [(zone, drawn[zone.id]) for zone in self.zones if zone.id in drawn]

    def resolved(self, folder: Path) -> SitePlan:
        """Take relative file and folder sources from ``folder``, where a file of that name is there."""

        def absolute(camera: Camera) -> Camera:
            path = folder / camera.source
            return camera.model_copy(update={"source": str(path.resolve())}) if path.exists() else camera

        return self.model_copy(update={"cameras": [absolute(camera) for camera in self.cameras]})

    def to_bytes(self) -> bytes:
        """Write the plan as it is stored on the broker: UTF-8 JSON."""
        return self.model_dump_json().encode()


def load_plan(path: Path) -> SitePlan:
    """Read and check a site plan.

    Args:
        path: YAML file of at most 4 MiB.

    Raises:
        SitePlanError: It cannot be read or used; the message has a line for each complaint, each with the key's path.
    """
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise SitePlanError(f"{path}: larger than {MAX_PLAN_BYTES >> 20} MiB")
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise SitePlanError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SitePlanError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    return parse_plan(raw, str(path))


def parse_plan(raw: object, origin: str) -> SitePlan:
    """Check a plan that was already read from YAML or JSON; ``origin`` is named in complaints.

    Raises:
        SitePlanError: As `load_plan`.
    """
    try:
        return SitePlan.model_validate(raw)
    except ValidationError as error:
        lines = _OWN_PATH.sub("", explain(error, SitePlan))
        raise SitePlanError("\n".join(f"{origin}: {line}" for line in lines.splitlines())) from error


def _unique(part: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{part}[{index}].id: '{name}' is there twice")


def _known(path: str, kind: str, name: str, valid: list[str]) -> None:
    if name not in valid:
        hint = nearest(name, valid) or f"; the plan has no '{'policies' if kind == 'policy' else 'zones'}' list"
        raise ValueError(f"{path}: there is no {kind} '{name}'{hint}")
