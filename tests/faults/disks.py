"""Scenario with a disk that is full: the state broker on a small file system of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.faults.build import Build
from tests.faults.rig import Rig
from tests.faults.trial import Finding, NotHereError, Scenario, try_out

DISK_BYTES = 24 << 20
FULL_S = 8.0


def full_disk(folder: Path) -> Finding:
    """25: the append-only file cannot grow; results wait, and go on once there is space."""
    with small_disk(folder / "disk") as disk:

        def act(rig: Rig) -> Finding:
            filler = disk / "filler"
            fill(filler)
            try:
                rig.wait_for(lambda: _status(rig) == "err")
                rig.pause(FULL_S)
            finally:
                filler.unlink()
            return Finding(rig.recovered_in(time.monotonic(), 60))

        with Rig(folder / "rig", Build(state_folder=disk)) as rig:
            verdict = try_out(rig, Scenario(25, "full_disk", 10, act))
        assert verdict.passed, verdict.failures
        return Finding(verdict.recovery_s, verdict.note)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Mount a file system of 24 MiB; only root may.

    Raises:
        NotHereError: It cannot be mounted here.
    """
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise NotHereError("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], capture_output=True, check=True)


def fill(filler: Path) -> None:
    """Write until there is no space left."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))


def _status(rig: Rig) -> str:
    facts: Any = rig.ask("state", "INFO", "persistence")
    return str(facts["aof_last_write_status"])


SCENARIOS = (Scenario(25, "full_disk", 10, alone=full_disk),)
