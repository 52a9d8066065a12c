"""Figures of a run, from results and marks as they stand in the streams."""

from __future__ import annotations

import io
import time

import pytest

from common import schema
from common.broker.results import ResultWriter
from maskwatch.connection import StateDesk
from maskwatch.run.monitor import CameraFigures, Monitor
from maskwatch.run.table import event_line, render
from tests.brokers import Brokers
from tests.waiting import until

STARTED = {
    "type": "maskwatch.violation.started.v1",
    "time": "2026-05-04T10:11:12.000Z",
    "partitionkey": "gate-1",
    "data": {
        "verdict": "no_mask",
        "confidence": 0.93,
        "votes": {"no_mask": 4, "frames": 5},
        "reason": "first_confirmed",
    },
}


def result(seq: int, outcome: schema.Outcome = schema.Outcome.OK, reason: str = "") -> schema.FrameResult:
    now = time.time()
    face = schema.FaceReading(box=(0.1, 0.1, 0.2, 0.2), score=0.9, probabilities=(0.1, 0.8, 0.1))
    return schema.FrameResult(
        camera="gate-1",
        session=1,
        seq=seq,
        frame_id=f"{int(now * 1000)}-0",
        outcome=outcome,
        reason=reason,
        captured_at=now - 0.1,
        published_at=now,
        inferred_at=now,
        width=64,
        height=48,
        faces=(face,) if outcome is schema.Outcome.OK else (),
    )


@pytest.fixture
def monitor(brokers: Brokers) -> Monitor:
    return Monitor(StateDesk(brokers.state, brokers.state_blocking, brokers.keys))


def test_results_and_marks_become_figures(monitor: Monitor, brokers: Brokers) -> None:
    mark = schema.CameraMark(
        session=1, next_seq=3, at=1.0, state=schema.CameraState.ONLINE, since=1.0, fps=5.0, dropped={"motion": 4}
    )
    messages = [
        result(0),
        result(1, schema.Outcome.SKIPPED, "stale"),
        schema.MarkResult(camera="gate-1", mark=mark),
        schema.MarkResult(camera="gate-1", mark=mark.model_copy(update={"final": True, "dropped": {"motion": 6}})),
    ]
    partition = brokers.keys.partition_of("gate-1")
    monitor.start()
    writer = ResultWriter(brokers.state, brokers.keys)
    writer.append_many([*((partition, schema.encode(message)) for message in messages), (partition, b"foreign")])
    until(lambda: monitor.all_final(["gate-1"]), 10)
    monitor.stop()

    figures = monitor.figures()["gate-1"]
    assert (figures.results, figures.faces, figures.verdicts["no_mask"]) == (2, 1, 1)
    assert figures.dropped == {"stale": 1, "motion": 6}
    assert (figures.state, figures.fps_in, figures.final) == ("online", 5.0, True)
    assert len(monitor.result_latencies_s) == 1
    assert 0.05 < monitor.result_latencies_s[0] < 5


def test_results_that_no_judge_has_committed_are_not_judged_yet(monitor: Monitor, brokers: Brokers) -> None:
    assert monitor.judged()
    monitor.start()
    ResultWriter(brokers.state, brokers.keys).append_many(
        [(brokers.keys.partition_of("gate-1"), schema.encode(result(0)))]
    )
    until(monitor.figures, 10)
    monitor.stop()
    assert not monitor.judged()


def test_rates_and_latency_forget_what_is_long_ago() -> None:
    figures = CameraFigures()
    figures.recent.extend([(100.0, 9.0), (109.0, 0.1), (109.5, 0.3), (110.0, 0.2)])
    assert figures.fps_out(110.0) == 3 / 5
    assert figures.latency_s(110.0) == 0.2
    assert figures.latency_s(200.0) is None


def test_an_event_reads_as_one_line() -> None:
    assert event_line(STARTED).split() == (
        ["10:11:12", "gate-1", "violation.started", "no_mask", "(93%,", "4", "of", "5", "frames),", "first_confirmed"]
    )


def test_the_table_shows_cameras_and_events(monitor: Monitor) -> None:
    from rich.console import Console

    monitor.cameras["gate-1"] = CameraFigures(state="offline")
    monitor.events.append(STARTED)
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(render(monitor, "title", 12.0))
    text = console.export_text()
    for words in ("gate-1", "offline", "12 s left", "violation.started"):
        assert words in text
