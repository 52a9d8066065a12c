"""What a producer costs: ``python -m tests.bench.bench_producers``.

A real producer process reads motion-JPEG cameras from a server in this process and publishes to a real broker. Its
processor time and memory are read from the system. Beside it, in the same round, the same frames are decoded, scaled
and encoded alone, and carried from socket to socket by a loop that does nothing else. Cameras that send 1280 px are
passed through; those that send 1920 px are scaled and encoded anew.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml

from common import jpeg
from common.broker.client import Client, call, connect
from common.broker.embedded import tether
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.layout import ensure_layout
from common.lifecycle import StopSignal
from common.partition import Keys
from maskwatch.bench.figures import Rounds
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.station import BenchWorker
from producers import picture
from tests.bench.mjpeg_server import MjpegServer

FRAMES = 24
WIDTH_PX = 1280
WIDE = (1920, 1080)
SETTLE_S = 4.0
PASSED = ((1, 25.0), (5, 5.0), (20, 5.0), (20, 25.0), (40, 25.0))
ENCODED = ((1, 10.0), (5, 5.0), (20, 2.0))
"""Cameras, and frames a second of each."""
PAUSE = StopSignal()
NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Load:
    """What a producer is given: cameras, and frames a second of each."""

    cameras: int
    fps: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took: processor time a frame, ms; resident memory, MB; entries published meanwhile, marks among them."""

    ms_a_frame: float
    memory_mb: float
    frames: int


def cost(pair: EmbeddedPair, load: Load, jpegs: list[bytes], seconds: float) -> Cost:
    """Run a producer over its cameras and look at it for some seconds once they have settled."""
    names = [f"cam-{next(NUMBERS)}" for _ in range(load.cameras)]
    with MjpegServer(jpegs, load.fps) as server, TemporaryDirectory(prefix="maskwatch-bench-") as folder:
        cameras = [
            {"id": name, "source": server.url(number), "fps": 60, "width": WIDTH_PX}
            for number, name in enumerate(names)
        ]
        plan = Path(folder, "site.yaml")
        plan.write_text(yaml.safe_dump({"site": "bench", "cameras": cameras}))
        client, keys = connect(pair.frames.url), Keys("mw", ensure_layout(connect(pair.state.url), "mw", 4))
        with _producer(pair, plan) as worker:
            _await_frames(client, keys, names)
            PAUSE.wait(SETTLE_S)
            begun = _published(client, keys, names), worker.cpu_s()
            PAUSE.wait(seconds)
            frames = _published(client, keys, names) - begun[0]
            spent_s = worker.cpu_s() - begun[1]
            return Cost(1000 * spent_s / max(1, frames), worker.memory_mb(), frames)


def alone_ms(jpegs: list[bytes]) -> float:
    """Give the processor time, ms a frame, of decoding, scaling to the published size and encoding alone."""
    begun = time.process_time()
    for data in jpegs:
        jpeg.encode(picture.fit(jpeg.decode(data), WIDTH_PX))
    return 1000 * (time.process_time() - begun) / len(jpegs)


def bare_ms(pair: EmbeddedPair, jpegs: list[bytes], fps: float, seconds: float) -> float:
    """Give the processor time, ms a frame, of a thread that only carries frames from a camera's socket to the broker's.

    It knows beforehand how long every part is, keeps one buffer, and looks at nothing: a floor for any language, since
    nearly all of it is spent in the kernel.
    """
    command = b"*7\r\n$4\r\nXADD\r\n$4\r\nbare\r\n$6\r\nMAXLEN\r\n$2\r\n50\r\n$1\r\n*\r\n$4\r\njpeg\r\n$%d\r\n"
    with MjpegServer(jpegs, fps) as server, connect(pair.frames.url) as client:
        broker: socket.socket = cast(Any, client.connection_pool.get_connection())._sock  # already logged in
        buffer = memoryview(bytearray(max(map(len, server.parts))))
        frames = 0
        with socket.create_connection(server.address) as camera:
            camera.sendall(b"GET /0.mjpg HTTP/1.0\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += camera.recv(1)
            begun, until = time.thread_time(), time.monotonic() + seconds
            for data, part in itertools.cycle(zip(jpegs, server.parts, strict=True)):
                if time.monotonic() > until:
                    break
                got = 0
                while got < len(part):
                    got += camera.recv_into(buffer[got : len(part)])
                picture_and_end = buffer[len(part) - len(data) - 2 : len(part)]
                head = command % len(data)
                sent = broker.sendmsg([head, picture_and_end]) - len(head)
                broker.sendall(picture_and_end[sent:])
                broker.recv(64)
                frames += 1
            return 1000 * (time.thread_time() - begun) / frames


@contextmanager
def _producer(pair: EmbeddedPair, plan: Path) -> Iterator[BenchWorker]:
    environment = os.environ | {
        "MASKWATCH_FRAMES_URL": pair.frames.url,
        "MASKWATCH_STATE_URL": pair.state.url,
        "MASKWATCH_PARTITIONS": "4",
        "MASKWATCH_LOG_LEVEL": "warning",
    }
    command = [sys.executable, str(Path(tether.__file__)), str(os.getpid()), sys.executable, "-m", "maskwatch"]
    process = subprocess.Popen(
        [*command, "producer", "--site", str(plan)], env=environment, stdin=subprocess.DEVNULL, process_group=0
    )
    try:
        yield BenchWorker(process, 0)
    finally:
        process.terminate()
        process.wait(20)


def _published(client: Client, keys: Keys, names: list[str]) -> int:
    """Count the entries that were ever written, marks included: one in two seconds a camera."""
    total = 0
    for name in names:
        facts = call(client, "XINFO", "STREAM", keys.frames(name))
        total += int(dict(zip(facts[::2], facts[1::2], strict=True))[b"entries-added"])
    return total


def _await_frames(client: Client, keys: Keys, names: list[str], deadline_s: float = 60.0) -> None:
    until = time.monotonic() + deadline_s
    while not all(call(client, "EXISTS", keys.frames(name)) for name in names):
        if time.monotonic() > until:
            raise SystemExit("the producer publishes nothing; its log lines above say why")
        PAUSE.wait(0.1)


def _round(pair: EmbeddedPair, rounds: Rounds, material: tuple[list[bytes], list[bytes]], seconds: float) -> None:
    for name, jpegs, loads in (("passed through", material[0], PASSED), ("encoded anew", material[1], ENCODED)):
        for cameras, fps in loads:
            before = alone_ms(jpegs)
            found = cost(pair, Load(cameras, fps), jpegs, seconds)
            beside = (before + alone_ms(jpegs)) / 2
            what = f"{name}, {cameras} at {fps:g} fps"
            rounds.note(f"{what}: ms a frame", found.ms_a_frame)
            rounds.note(f"{what}: decode, scale and encode alone, ms a frame", beside)
            rounds.note(f"{what}: share of decode, scale and encode", found.ms_a_frame / beside)
            rounds.note(f"{what}: memory, MB", found.memory_mb)
            if name == "passed through":
                bare = bare_ms(pair, jpegs, cameras * fps, seconds)
                rounds.note(f"{what}: bare sockets, one camera at as many frames, ms a frame", bare)
                rounds.note(f"{what}: multiple of bare sockets", found.ms_a_frame / bare)
            print(f"{what}: {found}, {found.ms_a_frame / beside:.3f} of decode, scale and encode", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    material = bench_frames(FRAMES), bench_frames(FRAMES, WIDE)
    rounds = Rounds()
    with TemporaryDirectory(prefix="maskwatch-bench-") as folder, EmbeddedPair(Path(folder)) as pair:
        for _ in range(asked.rounds):
            _round(pair, rounds, material, asked.seconds)
    for name, values in rounds.values.items():
        print(f"{name}: {rounds.figure(name)}, least {min(values):.3f}")


if __name__ == "__main__":
    main()
