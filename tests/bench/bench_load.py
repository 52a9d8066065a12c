"""One worker at 80 % and at 200 % of what it can do, and two workers beside one another.

    python -m tests.bench.bench_load

Workers run with their ordinary settings. Prints one line of JSON.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from typing import Any

from common.lifecycle import StopSignal
from maskwatch.bench.cpu import CAMERAS, FRAMES, PATIENT, ROUND_FRAMES, SIZE, Pace, paced
from maskwatch.bench.figures import percentile
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.pinned import cores, pin
from maskwatch.bench.station import BenchStation

WARM_UP_S, LATENCY_S, OVERLOAD_S, ROUNDS = 2.0, 8.0, 12.0, 5


def capacity(station: BenchStation, frames: list[bytes]) -> float:
    """Frames a second of one round whose frames lie there before it begins."""
    answered = station.answers(station.publish(frames * (ROUND_FRAMES // FRAMES), SIZE))
    station.clear()
    first = len(answered) // 8
    return (len(answered) - 1 - first) / (answered[-1].at_s - answered[first].at_s)


def ready(station: BenchStation, frames: list[bytes], wanted: list[set[int]], **settings: str) -> None:
    """Start workers and wait until each has looked at something."""
    for place in wanted:
        station.publish(frames[:1], SIZE)
        station.start(place, **settings)
        station.answers(1)
    capacity(station, frames)


def overload(station: BenchStation, frames: list[bytes], rate: float) -> dict[str, Any]:
    """Publish at ``rate`` and say what became of it."""
    worker = station.workers[0]
    before_mb, sent, answered = worker.memory_mb(), 0, []
    tick, began = StopSignal(), time.monotonic()
    while (now := time.monotonic() - began) < OVERLOAD_S:
        due = int(now * rate) - sent
        if due > 0:
            turn = [CAMERAS[(sent + number) % len(CAMERAS)] for number in range(due)]
            sent += station.publish([frames[(sent + number) % FRAMES] for number in range(due)], SIZE, turn)
        answered += station.news()
        tick.wait(0.005)
    answered += station.answers(sent - len(answered))
    looked = [one for one in answered if one.result.outcome == "ok"]
    took = [one.at_s - one.result.captured_at for one in looked]
    shares = Counter(one.result.camera for one in looked)
    return {
        "sent": sent, "looked_at": len(looked),
        "p50_ms": round(1000 * percentile(took, 0.5)), "p99_ms": round(1000 * percentile(took, 0.99)),
        "least_share_of_fair": round(min(shares[name] for name in CAMERAS) * len(CAMERAS) / len(looked), 2),
        "memory_mb": [round(before_mb), round(worker.memory_mb())],
    }  # fmt: skip


def main() -> None:
    frames, own = bench_frames(FRAMES, SIZE), cores()
    found: dict[str, Any] = {}
    pin(0, {own[-1]})
    with BenchStation(CAMERAS, {own[-1]}) as station:
        ready(station, frames, [{own[0]}], MASKWATCH_INFER_READ_ENTRIES=PATIENT["MASKWATCH_INFER_READ_ENTRIES"],
              MASKWATCH_MAX_AGE_S="60")  # fmt: skip
        rate = statistics.median(capacity(station, frames) for _ in range(ROUNDS))
        station.end(station.workers[0])
        station.publish(frames[:1], SIZE)
        station.start({own[0]})
        station.answers(1)
        paced(station, frames, SIZE, Pace(0.4 * rate, WARM_UP_S))  # its networks are loaded when they are first needed
        took = paced(station, frames, SIZE, Pace(0.8 * rate, LATENCY_S))
        looked_at = [seconds for seconds in took if math.isfinite(seconds)]
        found["capacity_fps"] = round(rate, 1)
        found["at_80_percent_ms"] = {f"p{s}": round(1000 * percentile(looked_at, s / 100)) for s in (50, 95, 99)}
        found["at_80_percent_let_go"] = round(1 - len(looked_at) / len(took), 4)
        found["at_200_percent"] = overload(station, frames, 2 * rate)
    with BenchStation(CAMERAS, set(own)) as one, BenchStation(CAMERAS, set(own)) as two:
        ready(one, frames, [{own[0]}], **PATIENT)
        ready(two, frames, [{own[0]}, {own[-1]}], **PATIENT)
        pairs = [(capacity(one, frames), capacity(two, frames)) for _ in range(ROUNDS)]
        found["two_over_one"] = [round(b / a, 2) for a, b in pairs]
        found["cores"] = len(own)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
