"""One role as a supervised child process: started, watched, started again within limits, ended within a budget."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.broker.embedded import tether
from common.lifecycle import Deadline
from common.log import Log

MAX_RESTARTS_A_MINUTE = 5

# The kernel ties a child's life to the thread that started it; this one lives as long as the process.
_LAUNCHER = ThreadPoolExecutor(1, thread_name_prefix="role-launcher")


class RoleProcess:
    """A ``maskwatch`` role in a process of its own, which dies with this one whatever happens.

    Args:
        name: For messages, such as ``infer-0``.
        arguments: After ``maskwatch``; never a secret.
        environment: Added to this process's own; secrets go here.
    """

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.restarts = 0
        self.finished = False
        self._arguments = arguments
        self._environment = dict(environment)
        self._starts: deque[float] = deque(maxlen=MAX_RESTARTS_A_MINUTE)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Log("up")

    @property
    def pid(self) -> int:
        """Process id, 0 before the first start."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        self._process = _LAUNCHER.submit(self._spawn).result()

    def watch(self, now: float) -> bool:
        """Look after it; ``now`` is monotonic, s.

        Returns:
            False when it has failed too often within a minute and was given up. Exit status 0 is an orderly end.
        """
        if self._process is None or self.finished:
            return True
        status = self._process.poll()
        if status is None:
            return True
        if status == 0:
            self.finished = True
            return True
        self._log.warning("role_died", role=self.name, status=status)
        full = len(self._starts) == MAX_RESTARTS_A_MINUTE
        if full and now - self._starts[0] < 60:
            return False
        self._starts.append(now)
        self.restarts += 1
        self.start()
        return True

    def stop(self, deadline: Deadline) -> int | None:
        """Ask for an orderly end, and insist once the budget is spent; gives the exit status, None if never started."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(max(0.1, deadline.left_s()))
        except subprocess.TimeoutExpired:
            self._log.warning("role_killed", role=self.name)
            self._process.kill()
            return self._process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(tether.__file__)), str(os.getpid())]
        command += [sys.executable, "-m", "maskwatch", *self._arguments]
        # A group of its own: a Ctrl-C at the terminal reaches only the parent, which then stops the roles in order.
        return subprocess.Popen(
            command,
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            cwd=_working_folder(),
        )


def _working_folder() -> str:
    return str(Path(__file__).resolve().parents[2])
