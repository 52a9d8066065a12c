"""What a swap costs and how long it takes, under more frames than one worker can look at.

    python -m tests.bench.bench_swap [--load 2]

Quiet stretches and swaps take turns in one run, so that whatever else the machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from common.broker.embedded.brokers import EmbeddedPair
from common.models.manifest import Kind
from common.schema import FrameResult, Outcome
from maskwatch.bench.station import BenchWorker
from tests.brokers import open_brokers
from tests.hotswap_site import Models
from tests.infer_site import Site, a_jpeg
from tests.waiting import until

ROUNDS = 5
QUIET_S = 6.0
CAMERAS = tuple(f"c{number}" for number in range(8))
KINDS: tuple[Kind, Kind] = ("classifier", "detector")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", type=int, default=1, help="frames of each of the eight cameras every 50 ms, 1 to 8")
    load = parser.parse_args().load
    with (
        tempfile.TemporaryDirectory(prefix="maskwatch-bench-") as name,
        EmbeddedPair(Path(name)) as pair,
        open_brokers(pair.frames.url, pair.state.url) as brokers,
    ):
        site = Site(brokers, pair, Path(name))
        site.plan(*CAMERAS)
        began = time.monotonic()
        with site.process():
            site.publish(CAMERAS[0])
            until(lambda: site.finished(CAMERAS[0]), 60)
            print(f"start to first result, nothing compiled before: {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        with site.process() as child:
            site.publish(CAMERAS[0])
            until(lambda: site.finished(CAMERAS[0]), 60)
            print(f"start to first result, compiled before: {time.monotonic() - began:.2f} s")
            worker = BenchWorker(child, 0)
            print(f"memory: {worker.memory_mb():.0f} MB")
            measure(site, Models(site, Path(name)), load)
            print(f"memory after the swaps: {worker.memory_mb():.0f} MB")


def measure(site: Site, models: Models, load: int) -> None:
    end = threading.Event()
    pictures = [a_jpeg(seed, (640, 384)) for seed in range(8)]

    def publish() -> None:
        while not end.wait(0.05):
            for camera in CAMERAS:
                for data in pictures[:load]:
                    site.publish(camera, data, maxlen=64)

    thread = threading.Thread(target=publish)
    thread.start()
    spans: list[tuple[float, float, float]] = []
    try:
        for number in range(1, ROUNDS + 1):
            quiet = time.time()
            threading.Event().wait(QUIET_S)
            ref = models.version(f"b{number}", KINDS[number % 2])
            asked = time.time()
            models.promote(ref)
            models.wait_generation(number, timeout_s=60)
            spans.append((quiet, asked, time.time()))
            print(f"swap {number} ({ref.kind}): {spans[-1][2] - asked:.2f} s until the worker says so", flush=True)
        threading.Event().wait(QUIET_S)
    finally:
        end.set()
        thread.join()
    show(spans, [result for camera in CAMERAS for result in site.results(camera)])


def show(spans: list[tuple[float, float, float]], results: list[FrameResult]) -> None:
    done = sorted(r.inferred_at for r in results if r.outcome is Outcome.OK and r.inferred_at > spans[0][0])
    rates = {"quiet": [], "swap": []}  # type: dict[str, list[float]]
    for quiet, asked, served in spans:
        rates["quiet"].append(sum(quiet <= at < asked for at in done) / (asked - quiet))
        rates["swap"].append(sum(asked <= at < served for at in done) / (served - asked))
    for name, values in rates.items():
        print(f"{name}: {statistics.mean(values):.0f} frames/s ({', '.join(f'{value:.0f}' for value in values)})")
    gaps = [later - earlier for earlier, later in pairwise(done)]
    print(f"longest time between two results: {max(gaps):.2f} s; outcomes: {len(done)} of {len(results)} looked at")


if __name__ == "__main__":
    main()
