"""A whole site on this machine: its brokers and one process for each role, started and stopped in order."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.request import urlopen

from common.errors import MaskwatchError
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.siteplan import SitePlan
from common.tracing import checked_settings
from maskwatch.connection import StateDesk
from maskwatch.run.endpoints import Endpoints
from maskwatch.run.process import RoleProcess

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 10.0


class RoleFailedError(MaskwatchError):
    """A role does not become ready, or dies again and again; its own log lines say why."""


@dataclass(frozen=True, slots=True)
class StationSettings:
    """How the site is run here.

    Attributes:
        workers: Inference processes.
        backend: Inference backend; empty for the default.
        data: Folder that keeps events and state; None for one that ends with the run.
        trainer: Run the trainer as well; ``MASKWATCH_TRAINER_…`` says what it trains on.
    """

    workers: int = 1
    backend: str = ""
    data: Path | None = None
    trainer: bool = False


class Station:
    """Brokers and roles of one site on this machine; a context manager that leaves nothing behind."""

    def __init__(self, plan: SitePlan, settings: StationSettings) -> None:
        self._plan = plan
        self._settings = settings
        self._stack = ExitStack()
        self._log = Log("up")
        self._pause = StopSignal()  # never set: waiting on it is a pause
        self.roles: dict[str, RoleProcess] = {}
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self) -> None:
        """Start again what died.

        Raises:
            RoleFailedError: A role died too often; the others still run.
        """
        for role in self.roles.values():
            if not role.watch(time.monotonic()):
                raise RoleFailedError(f"{role.name} died too often; its log lines above say why")

    def cameras_finished(self) -> bool:
        """Say whether every camera was finite and has delivered its last frame."""
        return self.roles["producer"].finished

    def start_producer(self) -> None:
        """Start the cameras; everything behind them is ready by now, so that no frame waits."""
        self._launch("producer", ["producer"])

    def stop_producer(self) -> None:
        """End the cameras in order; what they published is still worked on."""
        self.roles["producer"].stop(Deadline.after(STOP_DEADLINE_S))

    def _start(self) -> None:
        checked_settings()  # what every role would die of is said once, before any is started
        folder = self._settings.data or Path(self._stack.enter_context(TemporaryDirectory(prefix="maskwatch-")))
        folder.mkdir(parents=True, exist_ok=True)
        self._endpoints = self._stack.enter_context(Endpoints(folder))
        self.connection = self._endpoints.settings
        self.desk = StateDesk.open(self.connection)
        self.desk.plans.publish(self._plan.to_bytes())
        self._stack.callback(self._stop_roles)
        for number in range(self._settings.workers):
            arguments = ["infer", "--index", str(number)]
            arguments += ["--backend", self._settings.backend] if self._settings.backend else []
            self._launch(f"infer-{number}", arguments)
        self._launch("judge", ["judge"])
        self._await_ready()
        if self._settings.trainer:
            self._launch("trainer", ["trainer"])

    def _launch(self, name: str, arguments: list[str]) -> None:
        self.ports[name] = _free_port()
        arguments = [*arguments, "--metrics-port", str(self.ports[name])]
        self.roles[name] = RoleProcess(name, arguments, self._environment())
        self.roles[name].start()

    def _environment(self) -> Mapping[str, str]:
        return self._endpoints.variables() | {
            "MASKWATCH_LOG_LEVEL": "warning",
            # Two of the libraries inside start a thread per core each; the roles share the cores among them.
            "OMP_NUM_THREADS": "1",
        }

    def _await_ready(self) -> None:
        deadline = Deadline.after(READY_DEADLINE_S)
        waiting = set(self.roles)
        while waiting:
            self.watch()
            waiting = {name for name in waiting if not _ready(self.ports[name])}
            if waiting and deadline.spent():
                raise RoleFailedError(f"not ready after {READY_DEADLINE_S:.0f} s: {', '.join(sorted(waiting))}")
            self._pause.wait(0.1)

    def _stop_roles(self) -> None:
        deadline = Deadline.after(STOP_DEADLINE_S)
        order = ["producer", "trainer", *(name for name in self.roles if name.startswith("infer")), "judge"]
        for name in order:
            if name in self.roles:
                self.roles[name].stop(deadline)


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
