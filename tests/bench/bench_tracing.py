"""What the export of traces costs: ``python -m tests.bench.bench_tracing``.

Processor time a frame of each role's own handling of a frame's words, pixels and networks left out, without export and
with; the sending thread and a real receiver in another process included. Rounds take turns, the median counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from common.broker.frames.entries import FrameEntry
from common.broker.ownership import Lease, PartitionState
from common.errors import BrokerError
from common.lifecycle import StopSignal
from common.metrics import BrokerMetrics
from common.schema import FrameHeader, Outcome, encode
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from common.trace import traceparent_of
from common.tracing import OFF, Tracing, opened_tracing
from producers.ledger import Ledger
from producers.link import BrokerLink
from producers.metrics import ProducerMetrics
from producers.publisher import FramePublisher, Parcel
from tests.judge_scenes import CAMERA, SESSION, scene
from tests.trace_receiver import TraceReceiver
from workers.infer.arrivals import Frame
from workers.infer.desk import Desk as InferDesk
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Outbox
from workers.infer.outcomes import Finished, Reporter
from workers.infer.patience import Patience
from workers.infer.ways import Ways as InferWays
from workers.judge.context import context_of
from workers.judge.desk import Desk as JudgeDesk
from workers.judge.ways import Ways as JudgeWays

FRAMES, BATCH, ROUNDS = 2000, 8, 5
RATIOS = (None, 0.0, 0.01, 0.1, 1.0)
PLAN = SitePlan(site="s", cameras=[Camera(id=CAMERA, source="x")])
Step = Callable[[Tracing, float], None]


class Nowhere:
    """Takes everything that is written."""

    def append(self, _camera: str, _header: bytes, _jpeg: bytes | None, _maxlen: int) -> str:
        return "1-0"

    def append_present(self, _results: Sequence[tuple[int, bytes]]) -> dict[int, BrokerError]:
        return {}

    def add(self, _partition: int, _fields: Mapping[str, str | bytes]) -> None:
        return


def publish(tracing: Tracing, _ratio: float) -> None:
    registry = CollectorRegistry()
    link = BrokerLink(Nowhere(), BrokerMetrics(registry), tracing=tracing)
    ledger = Ledger(CAMERA, ProducerMetrics(CollectorRegistry()))
    publisher = FramePublisher(PLAN.cameras[0], link, ledger, SESSION, 2.0)
    for number in range(FRAMES):
        publisher.send(Parcel(1.0 + number, 1280, 720, b"x"))


def finish(tracing: Tracing, ratio: float) -> None:
    stop, metrics = StopSignal(), InferMetrics(CollectorRegistry())
    ways = InferWays(tracing)
    metrics.listener = ways.time_stage if tracing.exports else None
    outbox = Outbox(Nowhere(), Nowhere(), Patience(stop, 1.0), lambda _code: None)
    desk = InferDesk(outbox, Reporter("w", time.time), metrics, "w", ways)
    for first in range(0, FRAMES, BATCH):
        batch = []
        for seq in range(first, first + BATCH):
            trace = traceparent_of(CAMERA, SESSION, seq, ratio)
            header = FrameHeader(session=1, seq=seq, captured_at=1.0, width=1280, height=720, traceparent=trace)
            entry = FrameEntry(CAMERA, 0, f"1000-{seq}", b"", b"")
            batch.append(Finished(Frame(entry, header, time.monotonic()), Outcome.OK))
        ways.begin(0.01)
        for stage in ("resize", "detect", "boxes", "crop", "classify"):
            metrics.time_stage(stage, 0.01)
        desk.finish(batch)


def judge(tracing: Tracing, ratio: float) -> None:
    desk = JudgeDesk(Lease(0, "me", 1), 1, PartitionState("1-0", {}), lambda _: CONTEXT, JudgeWays(tracing))
    for first in range(0, FRAMES, 50):
        for entry_id, payload in ENTRIES[ratio][first : first + 50]:
            desk.take([(entry_id, payload)])
        step = desk.due(2**45, 0, 1000)
        assert step is not None
        desk.committed(step)


CONTEXT = context_of(PLAN, CAMERA)
ENTRIES = {
    ratio or 0.0: [
        (
            f"{round(1000 * one.captured_at) + 100}-0",
            encode(one.model_copy(update={"traceparent": traceparent_of(CAMERA, SESSION, one.seq, ratio or 0.0)})),
        )
        for one in scene([], FRAMES / 5)
    ]
    for ratio in RATIOS
}


@contextmanager
def tracing_of(ratio: float | None, url: str) -> Iterator[Tracing]:
    if ratio is None:
        yield OFF
        return
    os.environ |= {"MASKWATCH_OTEL_ENDPOINT": url, "MASKWATCH_OTEL_RATIO": str(ratio), "MASKWATCH_OTEL_QUEUE": "100000"}
    registry = CollectorRegistry()
    with opened_tracing("bench", ServiceSettings(grace_s=300), registry, StopSignal()) as tracing:
        tracing.follow(PLAN)
        yield tracing
    lost = [
        registry.get_sample_value("maskwatch_spans_dropped_total", {"reason": r}) for r in ("full", "failed", "end")
    ]
    assert sum(value or 0 for value in lost) == 0, lost


def cost_us(step: Step, ratio: float | None, url: str) -> float:
    with tracing_of(ratio, url) as tracing:
        began = time.process_time()
        step(tracing, ratio or 0.0)
    return 1e6 * (time.process_time() - began) / FRAMES


def receive() -> None:
    with TraceReceiver() as receiver:
        receiver.take = lambda body: None  # type: ignore[method-assign] # noqa: ARG005 - mypy wants the name
        print(receiver.url, flush=True)
        threading.Event().wait(600)


def main() -> None:
    command = [sys.executable, "-m", "tests.bench.bench_tracing", "--receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            compare(process.stdout.readline().strip())
        finally:
            process.terminate()


def compare(url: str) -> None:
    print("us a frame   " + "".join(f"{'off' if one is None else one!s:>9}" for one in RATIOS))
    for step in (publish, finish, judge):
        rounds = [[cost_us(step, ratio, url) for ratio in RATIOS] for _ in range(ROUNDS)]
        medians = [statistics.median(column) for column in zip(*rounds[1:], strict=True)]
        print(f"{step.__name__:12} " + "".join(f"{one:9.1f}" for one in medians), flush=True)


if __name__ == "__main__":
    receive() if "--receive" in sys.argv else main()
