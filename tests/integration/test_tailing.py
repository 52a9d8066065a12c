"""``maskwatch events tail`` as people and scripts use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from common.broker.layout import ensure_layout
from tests.brokers import Brokers
from tests.event_writing import STATUS, EventWriter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(brokers: Brokers, broker_pair: EmbeddedPair) -> dict[str, str]:
    """Variables that lead to the test's own log."""
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    return os.environ | {"MASKWATCH_STATE_URL": broker_pair.state.url, "MASKWATCH_PREFIX": brokers.keys.prefix}


@pytest.fixture
def writer(brokers: Brokers) -> EventWriter:
    """Writes into the test's own log."""
    return EventWriter(brokers.state, brokers.keys)


def tail(environment: dict[str, str], *options: str) -> list[str]:
    """Lines of a tail that ends where the log ends."""
    command = [sys.executable, "-m", "maskwatch", "events", "tail", "--no-follow", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_filters_and_a_name_that_is_remembered(environment: dict[str, str], writer: EventWriter) -> None:
    """``@NAME`` begins now the first time, and later goes on where it was."""
    made = writer.write("a", 2)
    writer.write("b", 1)
    status = writer.write("a", 1, STATUS)
    shown = [json.loads(line)["id"] for line in tail(environment, "--from", "0", "--json", "--camera", "a")]
    assert shown == made + status
    assert len(tail(environment, "--from", "0", "--json", "--type", "violation", "--type", "camera.status")) == 4
    assert tail(environment, "--from", "@desk") == []
    later = writer.write("b", 2)
    assert [json.loads(line)["id"] for line in tail(environment, "--from", "@desk", "--json")] == later
    assert tail(environment, "--from", "@desk") == []


def test_a_gap_is_announced_at_the_start_and_while_running(environment: dict[str, str], writer: EventWriter) -> None:
    """A pipe that nobody reads holds the tail up; the log is trimmed meanwhile; the next line says so."""
    first = writer.append("a", writer._event("a", "t", "alert"))
    for _ in range(3):
        writer.append("a", writer._event("a", "t", "alert"), maxlen=1)
    command = [sys.executable, "-m", "maskwatch", "events", "tail", "--json", "--from", first]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        gap = json.loads(process.stdout.readline())["gap"]
        assert (gap["asked_after"], gap["reason"]) == (first, "trimmed")
        assert "id" in json.loads(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        for _ in range(5):
            last = writer.append("a", writer._event("a", "t", "alert"), maxlen=1)
        process.send_signal(signal.SIGCONT)
        seen: list[str] = []
        while last not in str(seen):
            seen.append(process.stdout.readline())
            if '"gap"' in seen[-1]:
                break
        process.terminate()
        assert process.wait(20) == 0
    assert json.loads(seen[-1])["gap"]["oldest_kept"] <= last


def test_a_gap_is_said_in_words_too(environment: dict[str, str], writer: EventWriter) -> None:
    writer.write("a")
    first = writer.append("a", writer._event("a", "x", "alert"))
    writer.write("a")
    writer.append("a", writer._event("a", "maskwatch.camera.status.v1", "alert"), maxlen=1)
    lines = tail(environment, "--from", first, "--camera", "nobody")
    assert len(lines) == 1
    assert lines[0].startswith("gap: partition ")
    assert lines[0].endswith("are gone from the log")


def test_an_event_of_a_type_that_is_not_known_yet_is_shown(environment: dict[str, str], writer: EventWriter) -> None:
    writer.append("a", writer._event("a", "maskwatch.weather.changed.v1", "alert") | {"data": {"wind": 3}})
    assert tail(environment, "--from", "0") == ["00:00:00  a  weather.changed"]
