"""A small station to measure: real brokers, real workers pinned to cores, frames made before the clock starts."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.request import urlopen

from common.broker.client import Client, call, call_many, connect
from common.broker.embedded import tether
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.errors import MaskwatchError
from common.lifecycle import StopSignal
from common.partition import Keys
from common.schema import FrameHeader, FrameResult, encode, read_result
from common.siteplan import Camera, SitePlan
from maskwatch.bench.pinned import pin

PARTITIONS = 4
POLL_S = 0.02
DEADLINE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(MaskwatchError):
    """A worker ended or answered nothing; its own log lines say why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One result as it arrived.

    Attributes:
        at_s: When the state broker took it in, s since 1970.
        result: The result.
    """

    at_s: float
    result: FrameResult


@dataclass(slots=True)
class BenchWorker:
    """One infer worker in a process of its own.

    Attributes:
        process: The process.
        port: Of its metrics.
    """

    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> float:
        """Give the processor time that it used so far, s."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mb(self) -> float:
        """Give its memory at present, MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000

    def stages(self) -> dict[str, float]:
        """Give how many seconds went into each stage so far."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        mark = "maskwatch_stage_seconds_sum{stage="
        return {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith(mark)}


@dataclass
class BenchStation:
    """Brokers on some cores and workers on others; a context manager that leaves nothing behind.

    Attributes:
        cameras: Ids of the cameras that frames are published for.
        broker_cores: Where both brokers run.
        partitions: Partition count.
    """

    cameras: tuple[str, ...]
    broker_cores: set[int]
    partitions: int = PARTITIONS
    workers: list[BenchWorker] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _seq: dict[str, int] = field(default_factory=dict)
    _read: dict[int, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="maskwatch-bench-")))
            self.pair = self._stack.enter_context(EmbeddedPair(folder))
            for broker in (self.pair.frames, self.pair.state):
                pin(broker.pid, self.broker_cores)
            self.frames: Client = connect(self.pair.frames.url)
            self.state: Client = connect(self.pair.state.url)
            self._stack.callback(self.frames.close)
            self._stack.callback(self.state.close)
            self.keys = Keys("mw", ensure_layout(self.state, "mw", self.partitions))
            plan = SitePlan(site="bench", cameras=[Camera(id=name, source="synthetic:bench") for name in self.cameras])
            PlanStore(self.state, "mw").publish(plan.to_bytes())
        except BaseException:
            self._stack.close()
            raise
        self.session = int(time.time() * 1000)
        self._pause = StopSignal()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self.workers):
            self.end(worker)
        self._stack.close()

    def start(self, cores: set[int], **settings: str) -> BenchWorker:
        """Start a worker on some cores, one thread for each, without waiting for it.

        Args:
            cores: Processor cores.
            settings: More variables of the worker's.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        threads, index = str(len(cores)), str(len(self.workers))
        environment = os.environ | {
            "MASKWATCH_FRAMES_URL": self.pair.frames.url,
            "MASKWATCH_STATE_URL": self.pair.state.url,
            "MASKWATCH_LOG_LEVEL": "warning",
            "MASKWATCH_INFER_THREADS": threads,
            "MASKWATCH_INFER_DECODE_THREADS": threads,
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        command = [sys.executable, str(Path(tether.__file__)), str(os.getpid()), sys.executable, "-m"]
        command += ["maskwatch.bench.pinned", ",".join(map(str, sorted(cores))), "infer", "--index", index]
        process = subprocess.Popen(
            [*command, "--metrics-port", str(port)], env=environment, stdin=subprocess.DEVNULL,
            cwd=Path(__file__).resolve().parents[2], process_group=0,
        )  # fmt: skip
        self.workers.append(BenchWorker(process, port))
        return self.workers[-1]

    def end(self, worker: BenchWorker) -> None:
        """End a worker in order."""
        self.workers.remove(worker)
        worker.process.terminate()
        try:
            worker.process.wait(10)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()

    def publish(self, jpegs: Sequence[bytes], size: tuple[int, int], cameras: Sequence[str] | None = None) -> int:
        """Append frames, the cameras in turn, and say how many."""
        commands = []
        names = itertools.cycle(cameras or self.cameras)
        for data, camera in zip(jpegs, names, strict=False):
            seq = self._seq[camera] = self._seq.get(camera, -1) + 1
            header = FrameHeader(session=self.session, seq=seq, captured_at=time.time(), width=size[0], height=size[1])
            commands.append(("XADD", self.keys.frames(camera), "MAXLEN", 4000, "*", "h", encode(header), "jpeg", data))
        call_many(self.frames, commands)
        return len(commands)

    def answers(self, count: int, deadline_s: float = DEADLINE_S) -> list[Answered]:
        """Read the next ``count`` results, waiting for them.

        Raises:
            BenchError: They do not come, or a worker ended.
        """
        found: list[Answered] = []
        deadline = time.monotonic() + deadline_s
        while len(found) < count:
            found += self.news()
            if any(worker.process.poll() is not None for worker in self.workers):
                raise BenchError("an infer worker ended; its log lines above say why")
            if time.monotonic() > deadline:
                raise BenchError(f"{len(found)} of {count} results after {deadline_s:.0f} s")
            self._pause.wait(POLL_S)
        return found

    def news(self) -> list[Answered]:
        """Read the results that came in since the last call."""
        found: list[Answered] = []
        for partition in range(self.keys.partitions):
            start = self._read.get(partition, "-")
            for raw_id, fields in call(self.state, "XRANGE", self.keys.results(partition), start, "+") or ():
                entry_id = raw_id.decode()
                self._read[partition] = f"({entry_id}"
                message = read_result(fields[b"r"])
                if isinstance(message, FrameResult):
                    found.append(Answered(int(entry_id.partition("-")[0]) / 1000, message))
        return sorted(found, key=lambda one: one.at_s)

    def clear(self) -> None:
        """Forget frames that were looked at, so that memory stays as it is."""
        for camera in self.cameras:
            call(self.frames, "XTRIM", self.keys.frames(camera), "MAXLEN", 0)
