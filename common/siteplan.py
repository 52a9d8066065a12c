"""The site plan: one file that says which cameras there are, where they hang, and what is asked of people there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.advice import explain, nearest
from common.errors import SitePlanError
from common.events import Place
from common.schema import CameraId

MAX_PLAN_BYTES = 4 << 20


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
    policy: str = Field(default="default", description="Id of the policy that applies.")


class Privacy(_Part):
    """Which personal data may arise."""

    mode: Literal["full"] = Field(default="full", description="Per-person events without images or identities.")


class SitePlan(_Part):
    """The whole plan; published in one piece and versioned by the broker."""

    site: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="Name of the site, part of every event.")
    cameras: list[Camera] = Field(default_factory=list, max_length=5000)
    policies: list[Policy] = Field(default_factory=lambda: [Policy()], min_length=1, max_length=200)
    privacy: Privacy = Privacy()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        seen: dict[str, int] = {}
        for index, camera in enumerate(self.cameras):
            if camera.id in seen:
                raise ValueError(f"cameras[{index}].id: '{camera.id}' is already cameras[{seen[camera.id]}]")
            seen[camera.id] = index
        policies = [policy.id for policy in self.policies]
        for index, name in enumerate(policies):
            if name in policies[:index]:
                raise ValueError(f"policies[{index}].id: '{name}' is there twice")
        for index, camera in enumerate(self.cameras):
            if camera.policy not in policies:
                hint = nearest(camera.policy, policies)
                raise ValueError(f"cameras[{index}].policy: there is no policy '{camera.policy}'{hint}")
        return self

    def camera(self, camera_id: str) -> Camera | None:
        """Find a camera by its id."""
        return next((camera for camera in self.cameras if camera.id == camera_id), None)

    def policy_of(self, camera_id: str) -> Policy:
        """Give the policy that applies to a camera; the first policy where the camera is not in the plan."""
        camera = self.camera(camera_id)
        wanted = camera.policy if camera else self.policies[0].id
        return next(policy for policy in self.policies if policy.id == wanted)

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
        lines = explain(error, SitePlan).replace("(top level): cameras[", "cameras[")
        raise SitePlanError("\n".join(f"{origin}: {line}" for line in lines.splitlines())) from error
