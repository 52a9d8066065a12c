"""How many results a second one core judges, tracking included: ``python -m tests.bench.bench_judge``."""

from __future__ import annotations

import math
import time

from common.schema import encode, read_result
from tests.judge_scenes import Person, entry_ms, scene, the_context
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

SECONDS = 1200


def walker(number: int) -> Person:
    return lambda t: (0.5 + 0.45 * math.sin(t / 3 + 2 * number), 0.3 + 0.1 * number, 0.05, "mask")


def rate(count: int, seconds: float) -> str:
    return f"{count / seconds:9.0f}/s {1e6 * seconds / count:7.1f} us"


def main() -> None:
    for people in (0, 1, 2, 4, 8):
        results = scene([walker(number) for number in range(people)], SECONDS)
        payloads = [encode(result) for result in results]
        begun = time.process_time()
        parsed = [read_result(payload) for payload in payloads]
        reading = time.process_time() - begun
        judge = CameraJudge(the_context(), CameraState())
        begun = time.process_time()
        for result in parsed:
            judge.accept(result, entry_ms(result))
        judging = time.process_time() - begun
        begun = time.process_time()
        for _ in range(200):
            raw = judge.state.to_bytes()
        storing = time.process_time() - begun
        print(
            f"{people} faces: read {rate(len(results), reading)}   judge {rate(len(results), judging)}   "
            f"state {len(raw)} bytes in {1e6 * storing / 200:.0f} us"
        )


if __name__ == "__main__":
    main()
