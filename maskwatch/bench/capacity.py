"""How many cameras this machine carries, and what a wanted number of them needs: measured here, then a stated model."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

from common.broker.plans import PlanStore
from common.siteplan import Camera, SitePlan
from maskwatch.bench.cpu import Pace, paced
from maskwatch.bench.figures import Figure, percentile
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores, pin
from maskwatch.bench.rates import broker_rates
from maskwatch.bench.station import BenchStation

FRAMES = 48
PROBE_S = 3.0
SETTLE_S = 1.5
MOST_CAMERAS = 4096
BISECTIONS = 4

LOAD = 0.8
"""Share of what was measured that is planned with: the rest is for bursts, swaps of networks and a worker that dies."""
JUDGED_A_SECOND = 10_000
"""Results with three faces that a core reads and judges, rounded down from what tests/bench/bench_judge.py measures."""
KEPT_S = 10.0
BROKER_SHARE = 0.5
PRODUCER_MB, CAMERA_MB = 80, 15


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a site should carry.

    Attributes:
        cameras: How many.
        fps: Frames a second of each.
        size: (width, height), px.
        objective_ms: 95 of 100 frames have their result so long after capture.
    """

    cameras: int
    fps: float
    size: tuple[int, int]
    objective_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What this machine did.

    Attributes:
        cameras: Most cameras within the objective; 0 where not even one was.
        p95_ms: Of that many.
        workers: Infer workers, one core each.
        memory_mb: Of one worker.
        kilobytes: Of one frame, mean.
        broker_fps: Frames a second that one client wrote to a broker and read back.
    """

    cameras: int
    p95_ms: float
    workers: int
    memory_mb: float
    kilobytes: float
    broker_fps: float


@dataclass(frozen=True, slots=True)
class Needed:
    """What the wanted cameras need, by the model of `needed`."""

    frames_a_second: float
    workers: int
    judge_cores: int
    broker_shards: int
    network_gbit_s: float
    frames_broker_mb: int
    workers_mb: int
    producers_mb: int


def needed(wanted: Wanted, measured: Measured) -> Needed:
    """Carry the measurement over to the wanted site.

    Frames a second over `LOAD` of what a worker did here are workers, each on a core of its own. The judge does
    `JUDGED_A_SECOND`. A broker gives `BROKER_SHARE` of what one client put through it here; every frame crosses the
    network twice, in and out. The frames broker holds ten seconds of frames. Camera processes that only pass JPEGs on
    need little more than memory.

    Raises:
        ValueError: Nothing was measured.
    """
    if measured.cameras < 1:
        raise ValueError("not even one camera was within the objective")
    rate = wanted.cameras * wanted.fps
    of_worker = measured.cameras * wanted.fps / measured.workers
    workers = math.ceil(rate / (LOAD * of_worker))
    megabytes = rate * measured.kilobytes / 1000
    return Needed(
        frames_a_second=rate,
        workers=workers,
        judge_cores=math.ceil(rate / JUDGED_A_SECOND),
        broker_shards=math.ceil(rate / (BROKER_SHARE * measured.broker_fps)),
        network_gbit_s=round(2 * 8 * megabytes / 1000, 2),
        frames_broker_mb=math.ceil(megabytes * KEPT_S),
        workers_mb=round(workers * measured.memory_mb),
        producers_mb=PRODUCER_MB * math.ceil(wanted.cameras / 100) + CAMERA_MB * wanted.cameras,
    )


def largest(fits: Callable[[int], bool], most: int = MOST_CAMERAS, bisections: int = BISECTIONS) -> int:
    """Find about the largest number that fits, by doubling and then halving the gap; 0 where not even 1 does."""
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    for _ in range(bisections):
        middle = (low + high) // 2
        if middle in (low, high):
            break
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _there_and_back(rates: dict[str, Figure]) -> float:
    return 1 / sum(1 / rates[name].median for name in ("frames_written", "frames_read", "frames_acknowledged"))


class CapacityBench:
    """Adds cameras to a real station until results come too late.

    Args:
        wanted: Rate, size and objective; its number of cameras is not needed here.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._late: dict[int, float] = {}

    def run(self) -> Measured:
        """Measure.

        Raises:
            BenchError: A worker did not do its work.
        """
        own, wanted = cores(), self._wanted
        frames = bench_frames(FRAMES, wanted.size)
        rates, notes = broker_rates(2.0, wanted.size)
        for_workers = own[:-1] or own
        pin(0, {own[-1]})
        with BenchStation(("c0",), {own[-1]}) as station:
            for core in for_workers:
                station.start({core})
            station.publish(frames[:1], wanted.size)
            station.answers(1)
            cameras = largest(lambda count: self._fits(station, frames, count))
            memory_mb = max(worker.memory_mb() for worker in station.workers)
        late = self._late.get(cameras, float("nan"))
        return Measured(cameras, late, len(for_workers), memory_mb, notes["kilobytes"], rates["frames_read"].median)

    def _fits(self, station: BenchStation, frames: list[bytes], count: int) -> bool:
        wanted = self._wanted
        names = tuple(f"c{number}" for number in range(count))
        plan = SitePlan(site="bench", cameras=[Camera(id=name, source="synthetic:bench") for name in names])
        PlanStore(station.state, "mw").publish(plan.to_bytes())
        station.cameras = names
        rate = count * wanted.fps
        paced(station, frames, wanted.size, Pace(rate, SETTLE_S), names)  # workers hear of new cameras within a second
        took = paced(station, frames, wanted.size, Pace(rate, PROBE_S), names)
        self._late[count] = round(1000 * percentile(took, 0.95), 1)
        print(
            f"maskwatch: {count} cameras, {rate:.0f} frames/s: p95 {self._late[count]} ms", file=sys.stderr, flush=True
        )
        return self._late[count] <= wanted.objective_ms
