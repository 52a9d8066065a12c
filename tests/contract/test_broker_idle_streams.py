"""A hundred streams of which hardly any carries pictures: nothing is lost or late, and the idle ones cost little."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from common.broker.client import Client, call
from common.broker.frames.attention import FEW, ROUND_S, TURNS
from common.broker.frames.reader import FrameReader
from tests.brokers import Brokers
from tests.waiting import until

MIB = 1 << 20
CAMERAS = [f"cam-{number}" for number in range(FEW + 40)]


@pytest.fixture
def reader(any_brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> FrameReader:
    """A reader to whom every stream but ``cam-0`` is idle."""
    monkeypatch.setattr("common.broker.frames.attention.LIVELY_S", 0.0)
    reader = any_brokers.reader("w", *CAMERAS)
    monkeypatch.setattr("common.broker.frames.attention.LIVELY_S", 60.0)
    any_brokers.writer().append("cam-0", b"first", b"x", 9)
    assert reader.ack(until(lambda: reader.read(4, 64, MIB, 0), 5)) == 1
    return reader


def commands(client: Client, name: str) -> int:
    """How often the broker has carried out a command."""
    facts: Any = call(client, "INFO", "commandstats")
    return int(facts.get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_a_lively_stream_wakes_a_reader_at_once(reader: FrameReader, any_brokers: Brokers) -> None:
    later = threading.Timer(0.1, lambda: any_brokers.writer().append("cam-0", b"second", b"x", 9))
    later.start()
    began = time.monotonic()
    assert [entry.header for entry in reader.read(4, 64, MIB, 5)] == [b"second"]
    assert time.monotonic() - began < 4
    later.join()


def test_words_of_idle_streams_come_together_within_a_round_and_none_is_lost(
    reader: FrameReader, any_brokers: Brokers
) -> None:
    writer = any_brokers.writer()
    for name in CAMERAS[1:]:
        writer.append(name, b"word", None, 9)
    found: list[str] = []
    before = commands(any_brokers.frames, "xreadgroup")
    began = time.monotonic()
    while len(found) < len(CAMERAS) - 1 and time.monotonic() - began < 20:
        entries = reader.read(4, 64, MIB, ROUND_S)
        found += [entry.camera for entry in entries]
        reader.ack(entries)
    assert sorted(found) == sorted(CAMERAS[1:])
    rounds = (time.monotonic() - began) / ROUND_S + 1
    assert commands(any_brokers.frames, "xreadgroup") - before <= 6 * rounds + 6


def test_an_idle_stream_that_shows_pictures_is_lively_from_then_on(reader: FrameReader, any_brokers: Brokers) -> None:
    writer = any_brokers.writer()
    for number in range(3):
        writer.append("cam-9", b"%d" % number, b"x", 9)
    found = until(lambda: reader.read(4, 64, MIB, 0), 5)
    found += reader.read(4, 64, MIB, 0)
    assert [entry.header for entry in found] == [b"0", b"1", b"2"], "one by the round, the others at once behind it"


def test_what_others_left_behind_in_idle_streams_is_taken_over_within_five_looks(
    reader: FrameReader, any_brokers: Brokers
) -> None:
    writer = any_brokers.writer()
    for name in CAMERAS[1:]:
        writer.append(name, b"word", None, 9)
    gone = any_brokers.reader("gone", *CAMERAS)
    assert len(gone.read(1, 500, MIB, 0)) == len(CAMERAS) - 1
    found = [entry for _ in range(TURNS) for entry in reader.reclaim(0.001, 500)]
    assert {entry.camera for entry in found} == set(CAMERAS[1:])


def test_the_backlog_of_every_stream_is_known_within_five_looks(reader: FrameReader, any_brokers: Brokers) -> None:
    any_brokers.writer().append("cam-33", b"word", None, 9)
    looks = [reader.backlog() for _ in range(TURNS)]
    known = {name: lag for look in looks for name, lag in look.items()}
    assert set(known) == set(CAMERAS)
    assert all("cam-0" in look for look in looks)
    assert known["cam-33"] > 0
