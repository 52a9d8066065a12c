"""The demo is the product's own proof: its events equal the scene's truth, whichever process dies in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from common.broker.embedded.brokers import EmbeddedPair
from tests.brokers import fresh_keys
from tests.e2e.station_run import ROOT, StationRun
from tests.waiting import until

DEMO = ("demo", "--fps", "5")
"""Fewer frames than usual, since two cores that may be slow ones are shared with other tests."""


def check(summary: dict[str, object], status: int) -> None:
    assert summary["unaccounted"] == 0
    assert summary["events_missing"] == 0
    assert summary["events_extra"] == 0
    assert status == 0


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(150)
def test_the_events_of_the_demo_equal_the_truth() -> None:
    """With the usual keys, as its users start it; no test looks for a run with these."""
    with StationRun(*DEMO, "--seconds", "25", MASKWATCH_PREFIX="") as run:
        until(lambda: run.violations("started"), 60)
        assert all(len(event["traceparent"]) == 55 for event in run.violations("started"))
        summary, status = run.summary(120)
    assert int(summary["events_expected"]) >= 4
    assert summary["events_found"] == summary["events_expected"]
    assert summary["events"]["maskwatch.violation.started.v1"] == summary["events"]["maskwatch.violation.ended.v1"]
    assert set(summary["latency_ms"]) == {"result", "event"}
    check(summary, status)


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("victim", ["infer", "judge", "producer", "frames", "state"])
def test_kill_9_of_any_one_process_loses_and_doubles_no_event(victim: str) -> None:
    with StationRun(*DEMO, "--seconds", "25") as run:
        until(lambda: run.violations("started"), 60)
        process = run.find_broker(victim) if victim in ("frames", "state") else run.find(victim)
        assert process is not None
        process.kill()
        summary, status = run.summary(120)
    assert int(summary["events_expected"]) >= 4
    assert int(summary["events_found"]) >= 2  # what passes while the only worker starts again is seen by nobody
    check(summary, status)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_interrupt_ends_a_run_in_order_with_its_summary_and_leaves_no_process() -> None:
    with StationRun(*DEMO) as run:
        until(run.events, 60)
        children = psutil.Process(run.process.pid).children(recursive=True)
        run.process.send_signal(signal.SIGINT)
        summary, _ = run.summary(60)
    assert summary["unaccounted"] == 0
    assert not [child for child in children if child.is_running()]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_run_that_is_killed_takes_its_brokers_and_roles_along() -> None:
    with StationRun(*DEMO) as run:
        until(lambda: run.find("producer"), 60)
        children = psutil.Process(run.process.pid).children(recursive=True)
        run.process.kill()
        assert len(children) >= 5
        until(lambda: not [child for child in children if child.is_running()], 10)


@pytest.mark.timeout(60)
def test_a_page_port_that_is_taken_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with StationRun(*DEMO, "--view", "--view-port", str(port)) as run:
            _, err = run.process.communicate(timeout=50)
    assert run.process.returncode == 2
    assert str(port) in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_commands_in_another_terminal_find_the_run_and_its_events() -> None:
    """They find it by its keys among all that run on this machine; `test_neighbour` tells which of several."""
    with StationRun(*DEMO) as run:
        until(run.events, 60)
        ours = {"MASKWATCH_PREFIX": run.prefix}
        tail = [sys.executable, "-m", "maskwatch", "events", "tail", "--from", "0", "--no-follow", "--json"]
        done = subprocess.run(
            tail, cwd=ROOT, env=os.environ | ours, capture_output=True, text=True, timeout=30, check=True
        )
        logged = {event["id"] for event in run.events()}
    shown = {json.loads(line)["id"] for line in done.stdout.splitlines()}
    assert shown
    assert shown <= logged


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_on_brokers_given_by_url_accounts_for_its_own_frames_only(broker_pair: EmbeddedPair) -> None:
    given = {
        "MASKWATCH_FRAMES_URL": broker_pair.frames.url,
        "MASKWATCH_STATE_URL": broker_pair.state.url,
        "MASKWATCH_PREFIX": fresh_keys().prefix,
    }
    captured = []
    for _ in range(2):
        with StationRun(*DEMO, "--seconds", "6", **given) as run:
            summary, _ = run.summary(90)
            assert not run.started_a_broker
        assert summary["unaccounted"] == 0
        captured.append(summary["captured"])
    assert 0.5 < captured[0] / captured[1] < 2
