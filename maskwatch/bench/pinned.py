"""Becomes the ``maskwatch`` command on given processor cores: ``python -m maskwatch.bench.pinned 0,1 infer …``.

The cores must be set before the libraries inside look how many there are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cores() -> list[int]:
    """List the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin(pid: int, wanted: set[int]) -> None:
    """Keep every thread of a process on these cores; 0 is the calling thread alone."""
    threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()] if pid else [0]
    for thread in threads:
        os.sched_setaffinity(thread, wanted)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
    os.execv(sys.executable, [sys.executable, "-m", "maskwatch", *sys.argv[2:]])  # noqa: S606
