"""A trainer's run as a process that kills itself at a named moment: ``python -m tests.trainer_process FOLDER [STAGE]``.

Stages: reading, epoch (in the middle of the second one), judging, publishing, published, none.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from common.models.directory import DirectoryRegistry
from common.models.registry import VersionRef
from trainer.service.bench import Bench
from trainer.service.case import Case, CaseFolder
from trainer.service.job import Hooks, Job
from trainer.service.ledger import Ledger
from trainer.service.settings import TrainerSettings

RUN = "20260101-000000-test"


def settings(folder: Path) -> TrainerSettings:
    """Make settings for a run of seconds."""
    return TrainerSettings(
        samples=folder / "samples", runs=folder / "runs", base=(folder / "base",), epochs=2, samples_per_epoch=64,
        batch=8, gate_draws=50, attempts=20, gate_held_out=1,
    )  # fmt: skip


def registry(folder: Path) -> DirectoryRegistry:
    """Open the registry beside it."""
    return DirectoryRegistry(folder / "registry")


class FatalRegistry(DirectoryRegistry):
    """Dies as soon as a version is published."""

    def publish(self, folder: Path, by: str = "", why: str = "") -> VersionRef:
        super().publish(folder, by, why)
        _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def main(folder: Path, stage: str) -> int:
    """Go on with the run, or begin it; dies at ``stage``."""
    told = settings(folder)
    kept = FatalRegistry(folder / "registry") if stage == "published" else registry(folder)
    case_folder = CaseFolder(told.runs / "cases" / RUN)
    case = case_folder.case() or Case(run=RUN, cause="request", started_s=1.0, generation=0)

    def reached(now: str) -> None:
        if now == stage:
            _die()

    def progressed(done: float, left_s: float) -> None:
        if stage == "epoch" and done > 0.7:
            _die()

    job = Job(
        Bench(told, kept, lambda: False), case_folder, Ledger(told.runs), Hooks(reached, progressed, lambda: None)
    )
    ending = job.run(case)
    print(ending.outcome if ending else "stopped", ending.report["reasons"] if ending else "", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "none"))
