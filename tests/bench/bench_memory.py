"""Memory of a worker at twice the load it can carry: ``python -m tests.bench.bench_memory --minutes 10``.

A real worker with ordinary settings on one core, frames published without pause at twice its measured capacity. Its
resident memory is read every few seconds; what is not looked at is shed. Prints one line of JSON, and draws if asked.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

from common.lifecycle import StopSignal
from maskwatch.bench.cpu import CAMERAS, FRAMES, SIZE
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores, pin
from maskwatch.bench.station import BenchStation
from tests.bench.bench_load import capacity
from tests.bench.bench_scale import KEPT, await_ready

SAMPLE_S = 3.0
Samples = list[tuple[float, float]]


def watch(station: BenchStation, frames: list[bytes], rate: float, minutes: float) -> Samples:
    """Publish at ``rate`` frames a second and give (s since the start, MB) of the worker."""
    worker, tick, began = station.workers[0], StopSignal(), time.monotonic()
    pictures, names = itertools.cycle(frames), itertools.cycle(CAMERAS)
    samples: Samples = [(0.0, worker.memory_mb())]
    sent = 0
    while (now := time.monotonic() - began) < 60 * minutes:
        due = min(64, int(now * rate) - sent)
        if due > 0:
            station.publish(list(itertools.islice(pictures, due)), SIZE, list(itertools.islice(names, due)))
            sent += due
        if now - samples[-1][0] >= SAMPLE_S:
            station.news()
            samples.append((now, worker.memory_mb()))
        tick.wait(0.02)
    return samples


def slope_mb_a_minute(samples: Samples) -> float:
    """Give the growth of the second half: the slope of the straight line that fits best."""
    half = samples[len(samples) // 2 :]
    line = statistics.linear_regression([t for t, _ in half], [mb for _, mb in half])
    return 60 * line.slope


def draw(samples: Samples, path: Path) -> None:
    """Draw memory over time."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot([t / 60 for t, _ in samples], [mb for _, mb in samples])
    axes.set(xlabel="minutes at twice the capacity", ylabel="worker's resident memory, MB")
    axes.set_ylim(0, 1.2 * max(mb for _, mb in samples))
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    frames, own = bench_frames(FRAMES, SIZE), cores()
    pin(0, {own[-1]})
    with BenchStation(CAMERAS, {own[-1]}) as station:
        station.start({own[0]}, **KEPT)
        await_ready(station)
        rate = statistics.median(capacity(station, frames) for _ in range(3))
        station.end(station.workers[0])
        station.start({own[0]})
        await_ready(station)
        samples = watch(station, frames, 2 * rate, asked.minutes)
    if asked.plot is not None:
        draw(samples, asked.plot)
    every = max(1, len(samples) // 20)
    print(
        json.dumps(
            {
                "capacity_fps": round(rate, 1),
                "memory_mb": [(round(t), round(mb)) for t, mb in samples[::every]],
                "second_half_mb_a_minute": round(slope_mb_a_minute(samples), 2),
                "last_mb": round(samples[-1][1]),
            }
        )
    )


if __name__ == "__main__":
    main()
