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
        cameras: The cameras that do.
        fps: Their frames a second.
        partitions: Partition count.
    """

    workers: int = 1
    judges: int = 1
    backend: str = ""
    state_folder: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)
    absent: int = 0
    cameras: tuple[str, ...] = CAMERAS
    fps: float = FPS
    partitions: int = 4

    def plan_at(self, epoch: float) -> SitePlan:
        """Make a plan; the clocks of the cameras' scenes show 0 at Unix time ``epoch``, s."""
        cameras = [
            Camera(id=name, source=f"synthetic:{name}?seed={number + 1}&epoch={epoch:.3f}", fps=self.fps, width=960)
            for number, name in enumerate(self.cameras)
        ]
        absent = (f"rtsp://127.0.0.1:9/{number}" for number in range(self.absent))
        cameras += [Camera(id=f"absent-{number}", source=source) for number, source in enumerate(absent)]
        return SitePlan(site="faults", cameras=cameras)
