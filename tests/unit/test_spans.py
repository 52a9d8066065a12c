"""Spans wait in a queue that holds nobody up; what is lost is counted; the end takes no longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from common.lifecycle import StopSignal
from common.log import configure
from common.spans import BATCH, FLUSH_S, Span, SpanMetrics, SpanQueue, Write
from common.trace import Trace
from tests.waiting import until


def a_span(number: int = 1) -> Span:
    return Span("frame judged", "consumer", Trace(1, number, sampled=True), 0, 1.0, 2.0, {})


class Hall:
    """A queue with its counters, and a writer that waits at a gate."""

    def __init__(self, write: Write | None = None, limit: int = 100, grace_s: float = 5.0) -> None:
        self.registry = CollectorRegistry()
        self.stop = StopSignal()
        self.gate, self.reached = threading.Event(), threading.Event()
        self.written: list[Span] = []
        self.queue = SpanQueue(
            write or self._write, SpanMetrics(self.registry), limit, (self.stop, grace_s), "collector:4318"
        )

    def _write(self, spans: Sequence[Span]) -> str:
        self.reached.set()
        self.gate.wait(30)
        self.written += spans
        return ""

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"maskwatch_spans_{name}_total", labels) or 0.0

    def has_failed(self, times: int) -> bool:
        return self.lost()["failed"] == times

    def lost(self) -> dict[str, float]:
        return {reason: self.counted("dropped", reason=reason) for reason in ("full", "failed", "end")}


@contextmanager
def hall(write: Write | None = None, limit: int = 100, grace_s: float = 5.0) -> Iterator[Hall]:
    made = Hall(write, limit, grace_s)
    try:
        yield made
    finally:
        made.gate.set()
        made.queue.close()


def test_spans_are_sent_in_order_and_counted() -> None:
    with hall(limit=10 * BATCH) as one:
        one.gate.set()
        for number in range(1, 2 * BATCH + 10):
            one.queue.put(a_span(number))
        until(lambda: len(one.written) == 2 * BATCH + 9, 10)
        assert [span.place.span_id for span in one.written] == list(range(1, 2 * BATCH + 10))
        until(lambda: one.counted("exported") == 2 * BATCH + 9, 5)
        assert sum(one.lost().values()) == 0


def test_nobody_waits_for_a_receiver_that_hangs_and_what_is_too_much_is_counted() -> None:
    with hall(limit=20) as one:
        began = time.monotonic()
        for number in range(1, 201):
            one.queue.put(a_span(number))
        assert time.monotonic() - began < 1.0
        full = one.lost()["full"]
        assert full >= 200 - 2 * 20
        one.gate.set()
        until(lambda: len(one.written) == 200 - full, 10)


def test_a_receiver_that_is_down_costs_a_counter_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    tries: list[int] = []

    def fail(spans: Sequence[Span]) -> str:
        tries.append(len(spans))
        if len(tries) == 1:
            raise OSError("gone")
        return "status 503"

    with hall(fail) as one:
        for number in range(1, 4):
            one.queue.put(a_span(number))
            until(partial(one.has_failed, number), 5)
        began = time.monotonic()
        one.queue.close()
        assert time.monotonic() - began < 1.0
    assert sum(tries) == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if "spans_not_exported" in line]
    assert len(lines) == 1
    assert "place=collector:4318" in lines[0]
    assert "cause=OSError" in lines[0]


def test_the_end_sends_what_is_left() -> None:
    with hall() as one:
        one.gate.set()
        one.queue.put(a_span())
        assert one.queue.close() == 0
        assert len(one.written) == 1
        assert one.counted("exported") == 1


@pytest.mark.parametrize(("grace_s", "longest_s"), [(0.3, 0.3), (60.0, FLUSH_S)])
def test_the_end_waits_no_longer_than_it_may_and_counts_what_is_left_behind(grace_s: float, longest_s: float) -> None:
    with hall(grace_s=grace_s) as one:
        for number in range(1, 6):
            one.queue.put(a_span(number))
        until(one.reached.is_set, 5)
        one.queue.put(a_span(6))
        one.stop.set()
        began = time.monotonic()
        assert one.queue.close() == 6
        assert time.monotonic() - began < longest_s + 1.0
        assert one.lost() == {"full": 0, "failed": 0, "end": 6}
        one.gate.set()
        until(lambda: one.written, 5)
        assert one.counted("exported") == 0


def test_the_grace_period_counts_from_the_stop_signal() -> None:
    """The loop has used most of it up by the time the queue is closed."""
    with hall(grace_s=1.5) as one:
        one.gate.set()
        one.stop.set()
        until(lambda: one.queue._deadline, 5)
        until(lambda: one.queue._deadline is not None and one.queue._deadline.left_s() < 0.2, 5)
        one.gate.clear()
        one.queue.put(a_span())
        began = time.monotonic()
        assert one.queue.close() == 1
        assert time.monotonic() - began < 1.0
