"""One role as a real process that can be killed, stopped, replaced, and asked how it is."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

from common.broker.embedded import tether

ROOT = Path(__file__).resolve().parents[2]
END_S = 15.0
# The kernel ties a child's life to the thread that started it; this one lives as long as the process.
_LAUNCHER = ThreadPoolExecutor(1, thread_name_prefix="fault-launcher")
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


@dataclass(frozen=True, slots=True)
class Size:
    """What a process takes: resident memory in bytes, and open files; and how long it has been there, s."""

    rss: int
    files: int
    age_s: float = 3600.0


class Role:
    """A role of the product; dies with this process whatever happens.

    Args:
        name: Of the process, for messages and its log.
        arguments: After ``maskwatch``.
        environment: Added to this process's own.
        folder: Where its log goes.
    """

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.port = _free_port()
        self.starts = 0
        self.wanted = False
        self._arguments = [*arguments, "--metrics-port", str(self.port)]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the latest start."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives, stopped or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        self.wanted = True
        self.starts += 1
        self._process = _LAUNCHER.submit(self._spawn).result()

    def watch(self) -> None:
        """Start it again where it died, as a supervisor would."""
        if self.wanted and not self.running:
            self.start()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self) -> int:
        """Ask for an orderly end and give the exit status."""
        self.wanted = False
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def answer(self, path: str) -> tuple[int, str]:
        """Ask its health server; status 0 where it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as reply:
                return int(reply.status), reply.read().decode()
        except HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Add up the samples of a series that carry these labels; 0 where there is none."""
        total = 0.0
        for line in self.answer("/metrics")[1].splitlines():
            match = _SAMPLE.match(line)
            if match and match[1] == name and all(f'{k}="{v}"' in (match[2] or "") for k, v in labels.items()):
                total += float(match[3])
        return total

    def size(self) -> Size | None:
        """Measure it; None where it does not run."""
        with suppress(psutil.Error, AssertionError):
            process = psutil.Process(self.pid)
            return Size(process.memory_info().rss, process.num_fds(), time.time() - process.create_time())
        return None

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(tether.__file__)), str(os.getpid())]
        command += [sys.executable, "-m", "tests.faults.role_process", *self._arguments]
        with self.log.open("ab") as out:
            return subprocess.Popen(
                command,
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=ROOT,
                process_group=0,
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
