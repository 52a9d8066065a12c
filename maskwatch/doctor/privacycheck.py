"""``maskwatch doctor --privacy``: whether the brokers hold no more of people than the published plan allows.

A check that could not be made is not passed: it counts as ``unproven``, and the exit status says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from common.broker.client import Client, connect
from common.errors import BrokerError
from common.partition import Keys
from common.settings import ServiceSettings, load
from common.siteplan import SitePlan
from maskwatch.connection import StateDesk, nearby_settings, secret
from maskwatch.events.snapshots import frames_url

Verdict = Literal["ok", "note", "unproven", "violation"]
STYLES: dict[Verdict, str] = {"ok": "green", "note": "yellow", "unproven": "bold yellow", "violation": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        verdict: ``ok``; ``note`` for what people must judge; ``unproven`` where it could not be looked at;
            ``violation`` where there is more of people than the plan allows.
        found: What is there; never a person's data.
        advice: What to do about it.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the checks look at.

    Attributes:
        plan: The plan in force.
        version: Its version.
        desk: The state broker.
        frames: Command client of the frames broker.
    """

    plan: SitePlan
    version: int
    desk: StateDesk
    frames: Client

    @property
    def keys(self) -> Keys:
        """Names of the installation's keys."""
        return self.desk.keys


Check = Callable[[Scene], Iterator[Finding]]


def run_privacy_check(*, as_json: bool) -> int:
    """Make every check and print what it found; gives 1 where something is against the plan or could not be proven.

    Raises:
        ConfigError: No plan is published: there is nothing to check against.
        BrokerError: The state broker cannot be used.
    """
    settings = nearby_settings()
    desk = StateDesk.open(settings)
    plan = desk.plan()
    named = load(ServiceSettings)
    frames = connect(frames_url(named), password=secret(settings.frames_password))
    scene = Scene(plan, desk.plans.version(), desk, frames)
    findings = findings_of(scene)
    if as_json:
        cameras = {camera.id: _camera(plan, camera.id) for camera in plan.cameras}
        body = {"plan": scene.version, "cameras": cameras, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(body))
    else:
        Console().print(_table(findings))
    return 1 if any(finding.verdict in ("violation", "unproven") for finding in findings) else 0


def findings_of(scene: Scene) -> list[Finding]:
    """Make every check."""
    from maskwatch.doctor.privacychecks import CHECKS

    found: list[Finding] = []
    for name, check in CHECKS:
        try:
            found += check(scene)
        except BrokerError as error:
            advice = "run it as a broker user who may look at everything" if error.code == "noperm" else ""
            found.append(Finding(name, "unproven", str(error), advice))
    return found


def _camera(plan: SitePlan, camera: str) -> dict[str, object]:
    rules = plan.pictures_of(camera)
    return {
        "mode": plan.mode_of(camera),
        "snapshots": rules.snapshots,
        "snapshot_hours": rules.snapshot_s / 3600 if rules.snapshots else None,
        "crops": rules.crops,
        "crop_hours": rules.crop_s / 3600 if rules.crops else None,
    }


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None)
    for name in ("", "what", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        mark = f"[{STYLES[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(mark, finding.name, finding.found, finding.advice)
    return table
