"""How the parts scale: ``python -m tests.bench.bench_scale [--plot scale.png]``. Prints one line of JSON.

* workers: 1, 2, 4, 8 infer workers at one frames broker and at a cluster of three. Their backend waits instead of
  computing (`tests.bench.waiting_backend`), so that a few cores carry them, and the broker and the way to it show.
* brokers: what a frame costs the frames broker, one server against three, in processor time and commands.
* cores: two real workers on a core each against one, by the processor time that a frame takes them. The brokers and the
  bench share these cores; by processor time their share is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from common.broker.client import connect
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.lifecycle import StopSignal
from common.partition import Keys
from common.schema import FrameHeader, encode
from maskwatch.bench.cpu import CAMERAS, FRAMES, PATIENT, ROUND_FRAMES, SIZE
from maskwatch.bench.figures import Rounds
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores
from maskwatch.bench.station import Answered, BenchStation
from tests.bench.bench_load import capacity
from tests.bench.broker_forms import FramesBrokers, frames_brokers
from tests.bench.waiting_backend import WAIT_S

WORKERS = (1, 2, 4, 8)
NODES = (1, 3)
ROUND_S = 6.0
SMALL = (320, 180)
FRAME_BYTES = 75_000
PARTITIONS = 16
PATIENCE_S = 400.0
PAUSE = StopSignal()
SITE = tuple(f"cam-{number}" for number in range(48))
KEPT = PATIENT | {"MASKWATCH_INFER_FRAMES_KEPT_S": "300"}
"""A round may take longer than frames are kept."""
ONE_BY_ONE = {"MASKWATCH_INFER_BATCH_SIZE": "1", "MASKWATCH_INFER_READ_ENTRIES": "1"}
"""So that results come evenly, and no worker takes more than its share of a round."""
WAITING = KEPT | ONE_BY_ONE | {"MASKWATCH_INFER_BACKEND": "tests.bench.waiting_backend:waiting"}


def padded(data: bytes, size: int) -> bytes:
    """Make a JPEG ``size`` bytes long with comments (T.81, B.2.4.5), which cost a decoder nothing."""
    parts, missing = [], size - len(data)
    while missing > 4:
        length = min(65_000, missing - 2)
        parts.append(b"\xff\xfe" + length.to_bytes(2, "big") + bytes(length - 2))
        missing -= length + 2
    return data[:2] + b"".join(parts) + data[2:]


def steady(answered: Sequence[Answered]) -> float:
    """Give results a second between the first and the last eighth, where all workers have something to do."""
    edge = len(answered) // 8
    return (len(answered) - 1 - 2 * edge) / (answered[-1 - edge].at_s - answered[edge].at_s)


def workers_rates(brokers: FramesBrokers, frames: list[bytes], rounds: int) -> dict[int, list[float]]:
    """Give frames a second of 1, 2, 4 and 8 waiting workers, round by round."""
    found: dict[int, list[float]] = {}
    own = set(cores())
    with BenchStation(SITE, own, PARTITIONS) as station:
        station.frames = connect(brokers.url)
        for count in WORKERS:
            while len(station.workers) < count:
                station.start(own, MASKWATCH_FRAMES_URL=brokers.url, **WAITING)
            await_ready(station)
            wanted = round(count * ROUND_S / WAIT_S)
            pictures = list(itertools.islice(itertools.cycle(frames), wanted))
            for number in range(rounds + 1):
                sent = station.publish(pictures, SMALL)
                rate = steady(station.answers(sent, PATIENCE_S))
                station.clear()
                if number:  # the first one only makes sure that all have begun
                    found.setdefault(count, []).append(round(rate, 1))
            print(f"{len(brokers.servers)} brokers, {count} workers: {found[count]}", file=sys.stderr)
    return found


def await_ready(station: BenchStation) -> None:
    """Wait until every worker of a station says that it is ready, however busy the machine is."""
    until = time.monotonic() + PATIENCE_S
    for worker in station.workers:
        while not _ready(worker.port):
            if time.monotonic() > until or worker.process.poll() is not None:
                raise SystemExit("a worker does not begin; its log lines above say why")
            PAUSE.wait(0.2)


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def broker_costs(brokers: FramesBrokers, frames: list[bytes], rounds: int) -> Rounds:
    """Write, read and acknowledge frames of many cameras, and note what each costs the servers."""
    client, keys, told = connect(brokers.url), Keys("mw", PARTITIONS), Rounds()
    reader = FrameReader(client, connect(brokers.url, blocking_s=1.0), keys, "bench")
    reader.set_cameras(SITE)
    writer = FrameWriter(client, keys)
    header = encode(FrameHeader(session=1, seq=0, captured_at=time.time(), width=SIZE[0], height=SIZE[1]))
    for number in range(rounds + 1):
        before, took = brokers.usage(), 0
        for name, data in zip(4 * SITE, itertools.cycle(frames), strict=False):
            writer.append(name, header, data, 64)
        while got := reader.read(4, 16, 32 << 20, 0):
            reader.ack(got)
            took += len(got)
        used = brokers.usage().since(before)
        if number:
            told.note("ms_a_frame", 1000 * sum(used.cpu_s) / took)
            told.note("ms_a_frame_of_the_busiest", 1000 * max(used.cpu_s) / took)
            told.note("commands_a_frame", sum(used.commands) / took)
            told.note("mb_a_second_in_and_out_a_core", 2 * took * FRAME_BYTES / 1e6 / sum(used.cpu_s))
    return told


def two_over_one(rounds: int) -> Rounds:
    """Give what two workers on two cores get done over what one on one core does, by the processor time they take."""
    frames, own, told = bench_frames(FRAMES, SIZE), cores(), Rounds()
    with BenchStation(CAMERAS, set(own)) as one, BenchStation(CAMERAS, set(own)) as two:
        for station, places in ((one, own[:1]), (two, [own[0], own[-1]])):
            for core in places:
                station.start({core}, **KEPT)
            await_ready(station)
            capacity(station, frames)
        for _ in range(rounds):
            for name, station in (("one", one), ("two", two)):
                before = sum(worker.cpu_s() for worker in station.workers)
                told.note(f"{name}_fps", capacity(station, frames))
                used = sum(worker.cpu_s() for worker in station.workers) - before
                told.note(f"{name}_ms_a_frame", 1000 * used / ROUND_FRAMES)
            told.note("two_over_one", 2 * told.values["one_ms_a_frame"][-1] / told.values["two_ms_a_frame"][-1])
    return told


def draw(found: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Draw frames a second over workers."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4))
    axes.plot(WORKERS, [count / WAIT_S for count in WORKERS], "--", color="0.6", label="workers × one worker's wait")
    for (name, rates), mark in zip(found.items(), "os", strict=False):
        middle = [sorted(rates[count])[len(rates[count]) // 2] for count in WORKERS]
        spans = [[m - min(rates[c]) for m, c in zip(middle, WORKERS, strict=True)]]
        spans.append([max(rates[c]) - m for m, c in zip(middle, WORKERS, strict=True)])
        axes.errorbar(WORKERS, middle, yerr=spans, marker=mark, capsize=3, label=name)
    axes.set(xlabel=f"workers that wait {1000 * WAIT_S:.0f} ms a frame", ylabel="frames a second", ylim=(0, None))
    axes.set_xticks(WORKERS)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=("workers", "brokers", "cores"), action="append")
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    parts, found = asked.part or ["workers", "brokers", "cores"], dict[str, Any]()
    frames = [padded(data, FRAME_BYTES) for data in bench_frames(8, SMALL)]
    for count in NODES if {"workers", "brokers"} & set(parts) else ():
        name = "one frames broker" if count == 1 else f"a cluster of {count}"
        with TemporaryDirectory(prefix="maskwatch-bench-") as folder, frames_brokers(Path(folder), count) as brokers:
            if "brokers" in parts:
                costs = broker_costs(brokers, frames, 3 * asked.rounds)
                found.setdefault("brokers", {})[name] = {key: str(costs.figure(key)) for key in costs.values}
            if "workers" in parts:
                found.setdefault("workers", {})[name] = workers_rates(brokers, frames, asked.rounds)
    if "cores" in parts:
        told = two_over_one(asked.rounds)
        found["cores"] = {key: str(told.figure(key)) for key in told.values}
    print(json.dumps(found))
    if asked.plot is not None and "workers" in found:
        draw(found["workers"], asked.plot)


if __name__ == "__main__":
    main()
