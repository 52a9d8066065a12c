"""How the trainer makes way for everybody else on its machine."""

from __future__ import annotations

import os

from common.log import Log

_log = Log("trainer")


def give_way(nice: int, *, idle: bool) -> None:
    """Lower this process's priority, and that of every thread it starts later.

    Args:
        nice: How far, 0..19.
        idle: Run only on cores that nobody else wants; where the system has no such class it is said and left.
    """
    current = os.nice(0)
    if nice > current:
        os.nice(nice - current)
    if not idle:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        _log.warning("no_idle_class", error=str(error))
