"""How long a published plan takes to reach producers, infer and judge: ``python -m tests.bench.bench_live_plan``."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2

from common.broker.embedded.brokers import EmbeddedPair
from common.siteplan import Camera
from tests.brokers import open_brokers
from tests.integration.test_live_plan import Events, workers
from tests.producer_run import ProducerRun
from tests.video_material import pictures
from tests.waiting import until

ROUNDS = 10
Goals = dict[str, Callable[[], Any]]


def camera(name: str, folder: Path, width: int = 1280) -> Camera:
    return Camera(id=name, source=str(folder), fps=10, loop=True, width=width)


def one_round(run: ProducerRun, events: Events, folder: Path, number: int) -> dict[str, float]:
    """Add a camera, change one, remove one; how many seconds until each is seen."""
    new, gone, width = f"n{number}", f"n{number - 1}", 160 + 160 * (number % 2)
    began = time.monotonic()
    run.publish(camera("stays", folder), camera("changes", folder, width), camera(new, folder))
    goals: Goals = {
        "first frame of an added camera": lambda: run.frames(new),
        "first frame of a changed camera": lambda: run.frames("changes")[-1].header.width == width,
        "final mark of a removed camera": lambda: run.marks(gone)[-1].final,
        "added camera online in the event log": lambda: events.of(new, "camera.status.v1", state="online"),
        "removed camera offline in the event log": lambda: events.of(gone, "camera.status.v1", state="offline"),
    }
    taken: dict[str, float] = {}
    while len(taken) < len(goals):
        assert time.monotonic() - began < 10, f"missing: {goals.keys() - taken.keys()}"
        until(
            lambda: [taken.setdefault(n, time.monotonic() - began) for n, g in goals.items() if n not in taken and g()],
            10,
        )
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="maskwatch-bench-") as name:
        measure(Path(name))


def measure(folder: Path) -> None:
    for number, picture in enumerate(pictures()):
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), picture)
    first = [camera(name, folder) for name in ("stays", "changes", "n-1")]
    with (
        EmbeddedPair(folder / "brokers") as pair,
        open_brokers(pair.frames.url, pair.state.url) as brokers,
        ProducerRun(pair, first, keys=brokers.keys, published=True) as run,
        workers(run.connection, folder / "openvino"),
    ):
        events = Events(brokers)
        until(lambda: run.frames("stays") and events.of("n-1", "camera.status.v1", state="online"), 60)
        rounds = []
        for number in range(ROUNDS):
            rounds.append(one_round(run, events, folder, number))
            run.frames("stays")
        for name in rounds[0]:
            seconds = [taken[name] for taken in rounds]
            print(f"{name:42} median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")
        headers = [sent.header for sent in run.frames("stays")]
        gaps = [after.captured_at - before.captured_at for before, after in pairwise(headers)]
        whole = [header.seq for header in headers] == list(range(len(headers)))
        sessions = len({header.session for header in headers})
        print(f"untouched camera: {len(headers)} frames, {sessions} session, no number missing: {whole},", end=" ")
        print(f"longest pause {max(gaps):.3f} s at 10 frames a second")


if __name__ == "__main__":
    main()
