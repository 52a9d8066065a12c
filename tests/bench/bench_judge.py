"""What a result costs the judge, tracking included: ``python -m tests.bench.bench_judge``.

By processor time, the least of several rounds; parts take turns, so that what else the machine does falls on all.
``contract`` is `common.schema.read_result`, ``read`` the judge's own reader, ``judge`` tracking, votes and events of
results already read. ``desk`` is the whole of a partition of eight cameras: read, judge, make commits of 500 results.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

from common.broker.ownership import Lease, PartitionState
from common.partition import partition_of
from common.resultrecord import read_record
from common.schema import FaceReading, FrameResult, encode, read_result
from common.trace import traceparent_of
from tests.judge_scenes import Person, entry_ms, scene, the_context
from workers.judge.desk import Desk
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

SECONDS = 24
PARTITION, PARTITIONS = 1, 4
CAMERAS = [name for name in (f"cam-{n}" for n in range(99)) if partition_of(name, PARTITIONS) == PARTITION][:8]
BATCH = 500
POINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
Entries = list[tuple[str, bytes]]


def walker(number: int) -> Person:
    return lambda t: (0.5 + 0.45 * math.sin(t / 3 + 2 * number), 0.3 + 0.1 * number, 0.05, "mask")


def complete(face: FaceReading) -> FaceReading:
    """Give a face what infer's faces have: landmarks, and coordinates of five digits."""
    x1, y1, x2, y2 = (round(value, 5) for value in face.box)
    points = tuple((round(x1 + (x2 - x1) * x, 5), round(y1 + (y2 - y1) * y, 5)) for x, y in POINTS)
    return face.model_copy(update={"box": (x1, y1, x2, y2), "landmarks": points})


def entries(people: int) -> Entries:
    """Make the results of eight cameras, as they lie in a partition's stream."""
    made: Entries = []
    for result in scene([walker(number) for number in range(people)], SECONDS):
        for number, camera in enumerate(CAMERAS):
            trace = traceparent_of(camera, result.session, result.seq)
            faces = tuple(complete(face) for face in result.faces)
            sent = result.model_copy(update={"camera": camera, "traceparent": trace, "faces": faces})
            made.append((f"{entry_ms(result)}-{number}", encode(sent)))
    return made


def judge_all(results: list[FrameResult]) -> None:
    judges = {camera: CameraJudge(the_context(), CameraState()) for camera in CAMERAS}
    for result in results:
        judges[result.camera].accept(result, entry_ms(result))


def commit_all(stream: Entries) -> None:
    context = the_context()
    desk = Desk(Lease(PARTITION, "bench", 1), PARTITIONS, PartitionState("0-0", {}), lambda _camera: context)
    for start in range(0, len(stream), BATCH):
        desk.take(stream[start : start + BATCH])
        step = desk.due(0, 600_000, 100_000)
        if step is not None:
            desk.committed(step)


def measured(people: int, rounds: int) -> dict[str, float]:
    """Give microseconds of processor time a result, by part."""
    stream = entries(people)
    results = [message for _, raw in stream if isinstance(message := read_result(raw), FrameResult)]
    parts: dict[str, Callable[[], object]] = {
        "contract": lambda: [read_result(raw) for _, raw in stream],
        "read": lambda: [read_record(raw) for _, raw in stream],
        "judge": lambda: judge_all(results),
        "desk": lambda: commit_all(stream),
    }
    least = dict.fromkeys(parts, math.inf)
    for _ in range(rounds):
        for name, part in parts.items():
            begun = time.process_time()
            part()
            least[name] = min(least[name], time.process_time() - begun)
    return {name: 1e6 * seconds / len(stream) for name, seconds in least.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    for people in (0, 1, 2, 3, 4, 8):
        took = measured(people, asked.rounds)
        told = "   ".join(f"{name} {us:6.1f} us" for name, us in took.items())
        print(f"{people} faces: {told}   {1e6 / took['desk']:7.0f} results/s a core", flush=True)


if __name__ == "__main__":
    main()
