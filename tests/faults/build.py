"""How a rig is built, and what its cameras show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from common.siteplan import Camera, SitePlan

CAMERAS = ("hall", "gate")
FPS = 6.0


@dataclass(frozen=True, slots=True)
class Build:
    """How a rig is built.

    Attributes:
        workers: Inference processes.
        judges: Judge processes.
        backend: Of the inference processes; empty for the product's own choice.
        state_folder: Where the state broker keeps its files, if not in the rig's folder.
        variables: More environment for every role.
        absent: Further cameras of the plan, none of which answers.
    """

    workers: int = 1
    judges: int = 1
    backend: str = ""
    state_folder: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)
    absent: int = 0


def plan_at(epoch: float, absent: int = 0) -> SitePlan:
    """Make a plan of synthetic cameras whose scenes' clocks show 0 at Unix time ``epoch``, s, and of absent ones."""
    cameras = [
        Camera(id=name, source=f"synthetic:{name}?seed={number + 1}&epoch={epoch:.3f}", fps=FPS, width=960)
        for number, name in enumerate(CAMERAS)
    ]
    cameras += [Camera(id=f"absent-{number}", source=f"rtsp://127.0.0.1:9/{number}") for number in range(absent)]
    return SitePlan(site="faults", cameras=cameras)
