"""A ``maskwatch`` role whose wall clock may be wrong: ``python -m tests.faults.role_process judge …``."""

from __future__ import annotations

import os
import sys
import time

CLOCK_SHIFT = "FAULTS_CLOCK_SHIFT_S"


def shift_clock(seconds: float) -> None:
    """Let this process believe in another time of day."""
    right = time.time
    time.time = lambda: right() + seconds


if __name__ == "__main__":
    shift_clock(float(os.environ.get(CLOCK_SHIFT, "0")))
    from maskwatch.cli import main

    sys.argv[0] = "maskwatch"
    main()
