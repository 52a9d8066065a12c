"""Starts a server program in a folder of its own, tied to the life of this process."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from common.broker.client import call, connect
from common.errors import BrokerError, BrokerUnfitError

START_DEADLINE_S = 20.0

_TETHER = Path(__file__).with_name("tether.py")
# For the kernel the tie to a parent is a tie to the thread that forked: this one lives as long as the process.
_LAUNCHER = ThreadPoolExecutor(1, thread_name_prefix="broker-launcher")


def launch(program: Path, configuration: str, log: Path) -> subprocess.Popen[bytes]:
    """Start the server in the folder of its log; its configuration, password included, goes through a pipe only."""
    return _LAUNCHER.submit(_spawn, program, configuration, log).result()


def _spawn(program: Path, configuration: str, log: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), str(program), "-"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,  # Ctrl-C ends the services first, not the broker under them
        )
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin as pipe:  # it died at once; the log says why
            pipe.write(configuration.encode())
    return process


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server lets us in at ``url``; False where it has ended or the time is over."""
    pause = threading.Event()
    deadline = time.monotonic() + START_DEADLINE_S
    client = connect(url, timeout_s=1.0)
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                call(client, "PING")
            except BrokerError:
                pause.wait(0.02)
            else:
                return process.poll() is None
        return False
    finally:
        client.close()


def lock_folder(folder: Path, name: str) -> int:
    """Make the folder of broker ``name`` and claim it; gives the descriptor whose closing frees it.

    Raises:
        BrokerUnfitError: It cannot be written, or another broker has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise BrokerUnfitError(f"the {name} broker's folder {folder} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise BrokerUnfitError(f"the folder {folder} is in use by another {name} broker") from error
    return descriptor


def configuration(folder: Path, settings: Mapping[str, str | int], more: Sequence[str]) -> str:
    """Write a server's configuration: what every embedded one has, then ``settings``, then the lines ``more``."""
    lines = [
        "bind 127.0.0.1",
        f"dir {_quoted(folder)}",
        'save ""',
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "maxmemory-clients 0",  # the bundled 9.1.2 has CVE-2026-130822 where this is set
        "slowlog-log-slower-than -1",  # it would keep arguments, and arguments are pictures
        "crash-log-enabled no",
        *(f"{name} {value}" for name, value in settings.items()),
        *more,
    ]
    return "\n".join(lines) + "\n"


def log_tail(log: Path) -> str:
    """Give the last lines of a server's log, in one line."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "no log"
    return " | ".join(lines[-3:])


def free_port() -> int:
    """Find a TCP port on loopback that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """Say whether somebody uses a TCP port on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _quoted(path: Path) -> str:
    return '"' + str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"') + '"'
