"""Becomes the program named after it, tied to the life of the process that started it.

Run as a script by `common.broker.embedded.brokers`: PARENT_PID PROGRAM ARGUMENT…
The kernel kills the program when its parent dies, however that happens; no process stays in between. Where the
system cannot do that (not Linux), the program is started without the tie. No core dump is ever written: it would
hold frames.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def main(parent: int, command: list[str]) -> None:
    """Tie this process to ``parent`` and become ``command``; does not return."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
