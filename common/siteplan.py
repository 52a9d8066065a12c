"""The site plan: one file that says which cameras there are, where they hang, and what is asked of people there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator

from common.advice import explain, nearest
from common.errors import SitePlanError
from common.hours import TimeZoneName, overlap
from common.pictures import PictureRules
from common.planparts import Camera, IncidentRule, Part, Policy, Privacy, PrivacyMode
from common.tally import LEAST_PRIVATE_COUNT, LEAST_PRIVATE_MIN, Statistics
from common.zones import Polygon, Zone

__all__ = ["Camera", "IncidentRule", "Policy", "Privacy", "PrivacyMode", "SitePlan", "load_plan", "parse_plan"]

MAX_PLAN_BYTES = 4 << 20
_OWN_PATH = re.compile(r"^\(top level\): (?=(cameras|policies|zones|incidents|statistics|privacy)[\[.])", re.MULTILINE)


class SitePlan(Part):
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
    statistics: Statistics = Statistics()

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
        self._pictures_fit()
        self._statistics_fit()
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

    def _statistics_fit(self) -> None:
        if not self.counts_only:
            return
        window_min, min_count = self.statistics.window_min, self.statistics.min_count
        if window_min < LEAST_PRIVATE_MIN:
            raise ValueError(
                f"statistics.window_min: {window_min} is too short where privacy is 'statistics'; "
                f"take at least {LEAST_PRIVATE_MIN}, so that nobody can be told by the time"
            )
        if min_count < LEAST_PRIVATE_COUNT:
            raise ValueError(
                f"statistics.min_count: {min_count} is too small where privacy is 'statistics'; "
                f"take at least {LEAST_PRIVATE_COUNT}"
            )

    def _pictures_fit(self) -> None:
        mode = self.privacy.mode
        if mode == "statistics" and self.privacy.snapshots:
            raise ValueError("privacy.snapshots: mode 'statistics' makes no pictures; leave it out")
        for index, policy in enumerate(self.policies):
            if mode == "statistics" and policy.snapshots:
                raise ValueError(f"policies[{index}].snapshots: mode 'statistics' makes no pictures; leave it out")
            if mode != "full" and policy.training.consent:
                raise ValueError(f"policies[{index}].training.consent: mode '{mode}' keeps no recognisable faces")

    def pictures_of(self, camera_id: str) -> PictureRules:
        """Say which pictures may be made at a camera.

        Its policy decides. Of the policies of zones that it draws, one that says no to snapshots, or that does not
        consent to training, is enough for none at all: a picture shows more than one zone. So is a mode not known here.
        """
        camera, privacy = self.camera(camera_id), self.privacy
        if camera is None or self.mode_of(camera_id) not in ("full", "redacted"):
            return PictureRules(self.mode_of(camera_id))
        policy = self.policy(camera.policy)
        zoned = [self.policy(zone.policy) for zone, _ in self.zones_of(camera_id) if zone.policy is not None]
        wanted = privacy.snapshots if policy.snapshots is None else policy.snapshots
        training = policy.training
        return PictureRules(
            mode=privacy.mode,
            snapshots=wanted and all(other.snapshots is not False for other in zoned),
            snapshot_s=3600 * privacy.snapshot_hours,
            redacted=privacy.mode == "redacted",
            crops=privacy.mode == "full" and all(one.training.consent for one in (policy, *zoned)),
            crop_share=training.share,
            crop_s=3600 * training.hours,
        )

    @property
    def counts_only(self) -> bool:
        """Whether some camera may only be counted, so that small counts are withheld."""
        return self.privacy.mode == "statistics" or any(camera.privacy for camera in self.cameras)

    def mode_of(self, camera_id: str) -> PrivacyMode:
        """Say which personal data may arise at a camera; one that is not in the plan goes by the site's mode."""
        camera = self.camera(camera_id)
        return (camera and camera.privacy) or self.privacy.mode

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
