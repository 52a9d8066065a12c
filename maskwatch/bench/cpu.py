"""One core against its own floor: the worker with everything around it, decoding alone, and the well-known script.

All three take turns on the same core with the same frames, so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common import jpeg
from common.lifecycle import StopSignal
from maskwatch.bench.figures import percentile
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores, pin
from maskwatch.bench.reference import ReferenceScript, why_not
from maskwatch.bench.report import CpuReport
from maskwatch.bench.station import Answered, BenchStation, BenchWorker

SIZE = (1280, 720)
FRAMES = 64
CAMERAS = tuple(f"c{number}" for number in range(8))
BATCH = 16
ROUND_FRAMES = 256
REFERENCE_FRAMES = 10
LOAD = 0.8
LEAST_ROUNDS = 3
SHARES = (50, 95, 99)
PATIENT = {"MASKWATCH_MAX_AGE_S": "60", "MASKWATCH_INFER_READ_ENTRIES": str(BATCH)}
"""The frames of a round lie there before it begins: they must neither grow stale nor be overtaken."""


class CpuBench:
    """Measures for a while.

    Args:
        seconds: About how long all rounds together may take.
        weights: Folder with what the well-known script needs; None leaves it out.
    """

    def __init__(self, seconds: float, weights: Path | None) -> None:
        self._seconds = seconds
        self._weights = weights
        self._frames = bench_frames(FRAMES, SIZE)
        own = cores()
        self._core, self._other = own[0], own[-1]
        self.report = CpuReport(reference=why_not(weights))
        if len(own) == 1:
            _say("this process may use one core only: brokers and worker share it, expect less")

    def run(self) -> CpuReport:
        """Measure.

        Raises:
            BenchError: The worker did not do its work.
        """
        with ExitStack() as stack:
            station = stack.enter_context(BenchStation(CAMERAS, {self._other}))
            script = None
            if self._weights is not None and not self.report.reference:
                script = stack.enter_context(ReferenceScript(self._weights, self._frames, self._core))
            pin(0, {self._other})
            worker = self._started(station)
            self._rounds(station, worker, script)
            self._latency(station)
            self.report.memory_mb = worker.memory_mb()
        return self.report

    def _started(self, station: BenchStation) -> BenchWorker:
        """Start a worker twice: the first one leaves the networks compiled, the second one is timed."""
        for _ in range(2):
            for worker in list(station.workers):
                station.end(worker)
            station.publish(self._frames[:1], SIZE)
            began = time.monotonic()
            worker = station.start({self._core}, **PATIENT)
            station.answers(1)
            self.report.start_s = time.monotonic() - began
        self._fill(station)
        return worker

    def _fill(self, station: BenchStation) -> list[Answered]:
        count = station.publish(self._frames * (ROUND_FRAMES // FRAMES), SIZE)
        answered = station.answers(count)
        station.clear()
        return answered

    def _rounds(self, station: BenchStation, worker: BenchWorker, script: ReferenceScript | None) -> None:
        self._fill(station)
        before, looked_at = worker.stages(), 0
        deadline = time.monotonic() + self._seconds
        rounds = self.report.rounds
        while time.monotonic() < deadline or len(rounds.values.get("fps", ())) < LEAST_ROUNDS:
            self._decoding()
            self._working(station, worker)
            looked_at += ROUND_FRAMES
            if script is not None:
                wall, used = script.round(REFERENCE_FRAMES)
                rounds.note("reference_fps", wall)
                rounds.note("cpu_reference_fps", used)
        after = worker.stages()
        self.report.stages = {name: 1000 * (after[name] - before.get(name, 0.0)) / looked_at for name in after}

    def _decoding(self) -> None:
        pin(0, {self._core})
        for name, reduce in (("decode", 1), ("decode_half", 2)):
            began, used = time.perf_counter(), time.thread_time()
            for frame in self._frames:
                jpeg.decode(frame, reduce)
            self.report.rounds.note(f"{name}_fps", FRAMES / (time.perf_counter() - began))
            self.report.rounds.note(f"cpu_{name}_fps", FRAMES / (time.thread_time() - used))
        pin(0, {self._other})

    def _working(self, station: BenchStation, worker: BenchWorker) -> None:
        used = worker.cpu_s()
        answered = self._fill(station)
        self.report.rounds.note("cpu_fps", ROUND_FRAMES / (worker.cpu_s() - used))
        self.report.rounds.note("fps", _rate(answered))
        self.report.faces_per_frame = statistics.mean(len(one.result.faces) for one in answered)

    def _latency(self, station: BenchStation) -> None:
        """Measure at `LOAD` of what the core does at that moment: a fifth is soon gone on a machine with neighbours."""
        for _ in range(LEAST_ROUNDS):
            rate = LOAD * _rate(self._fill(station))
            took = paced(station, self._frames, SIZE, Pace(rate, 4.0))
            for share in SHARES:
                self.report.rounds.note(f"latency_p{share}_ms", 1000 * percentile(took, share / 100))
        medians = {f"p{share}": self.report.rounds.figure(f"latency_p{share}_ms") for share in SHARES}
        self.report.latency_ms = {"load": LOAD} | {
            name: round(figure.median, 1) for name, figure in medians.items() if figure is not None
        }


def _rate(answered: Sequence[Answered]) -> float:
    """Give the frames a second of a round, without the first batches: they met a pipeline that was not filled yet."""
    first = len(answered) // 8
    return (len(answered) - 1 - first) / max(1e-3, answered[-1].at_s - answered[first].at_s)


@dataclass(frozen=True, slots=True)
class Pace:
    """How frames come: evenly.

    Attributes:
        rate: Frames a second.
        seconds: For how long.
    """

    rate: float
    seconds: float


def paced(
    station: BenchStation, frames: Sequence[bytes], size: tuple[int, int], pace: Pace, cameras: Sequence[str] = ()
) -> list[float]:
    """Publish frames evenly, the cameras in turn, and give how long each took from capture to its result, s.

    Frames that were not looked at count as endless.
    """
    names = list(cameras or station.cameras)
    tick, sent = StopSignal(), 0
    answered: list[Answered] = []
    began = time.monotonic()
    while (now := time.monotonic() - began) < pace.seconds:
        due = int(now * pace.rate) - sent
        if due > 0:
            batch = [frames[(sent + number) % len(frames)] for number in range(due)]
            turn = [names[(sent + number) % len(names)] for number in range(due)]
            sent += station.publish(batch, size, turn)
        answered += station.news()
        tick.wait(0.004)
    answered += station.answers(sent - len(answered))
    station.clear()
    endless = float("inf")
    return [a.at_s - a.result.captured_at if a.result.outcome == "ok" else endless for a in answered]


def _say(text: str) -> None:
    print(f"maskwatch: {text}", file=sys.stderr, flush=True)
