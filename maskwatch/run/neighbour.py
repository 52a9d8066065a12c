"""A run of ``maskwatch up`` or ``demo`` on this machine, found by commands in another terminal.

The embedded broker's password is nowhere on disk. The roles of a run have it in their environment, which the system
shows to the same user only; that is also the whole of the right that is needed here.
"""

from __future__ import annotations

import os

import psutil

from common.errors import ConfigError
from common.settings import ServiceSettings

STATE, FRAMES = "MASKWATCH_STATE_URL", "MASKWATCH_FRAMES_URL"
_MARK = ["-m", "maskwatch", "judge"]
_PREFIX = ServiceSettings.model_fields["prefix"].default


def running_url(variable: str, prefix: str) -> str | None:
    """Give the URL of one of the brokers of the run on this machine, or None where none of this user runs.

    Args:
        variable: `STATE` or `FRAMES`.
        prefix: What the command's keys begin with; a run with other keys is another installation's.

    Raises:
        ConfigError: More than one runs; the message names their processes.
    """
    found = {}
    for process in psutil.process_iter(["pid", "uids", "cmdline"]):
        if process.info["uids"] is None or process.info["uids"].real != os.getuid():
            continue
        if (process.info["cmdline"] or [])[1:4] != _MARK:
            continue
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        url = environment.get(variable)
        if url and environment.get("MASKWATCH_PREFIX", _PREFIX) == prefix:
            found[url] = process.info["pid"]
    if len(found) > 1:
        pids = ", ".join(str(pid) for pid in sorted(found.values()))
        raise ConfigError(f"several runs are going on here (judges {pids}); name one broker in {variable}")
    return next(iter(found), None)
