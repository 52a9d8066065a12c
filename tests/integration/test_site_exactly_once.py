"""Site stages that are killed, stopped and doubled write every incident, window and piece of news exactly once."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.broker.client import call_many
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.lag import broker_now_ms
from common.broker.plans import PlanStore
from common.events import CloudEvent
from common.partition import SITE, Keys
from common.tally import EVERYWHERE, Tally
from tests.brokers import Brokers, open_brokers
from tests.site_scenes import a_plan, a_violation
from tests.waiting import until
from workers.site.engine import EVENTS, TALLIES, Entry, SiteJudge
from workers.site.state import SiteState

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = [f"cam-{number}" for number in range(8)]
PLAN = a_plan(CAMERAS, incidents=[{"id": "crowd", "zone": "platform", "more_than": 5, "within_min": 0.2, "merge_s": 2}])
MINUTES = 30


def history(keys: Keys, end_ms: int, chance: random.Random) -> list[Entry]:
    """Half an hour of crowds that come and go, and a tally of each camera and minute; ends at ``end_ms``."""
    start_ms = end_ms - MINUTES * 60_000
    numbers: dict[tuple[int, str], int] = defaultdict(int)
    found: list[Entry] = []

    def add(at_ms: int, kind: str, camera: str, fields: dict[bytes, bytes]) -> None:
        stream = f"{kind} {keys.partition_of(camera)}"
        numbers[at_ms, stream] += 1
        found.append(Entry(at_ms, numbers[at_ms, stream], stream, fields))

    for number in range(1200):
        burst = number // 20 * 30_000  # twenty people within ten seconds, every half minute
        at_ms = start_ms + burst + chance.randrange(10_000)
        camera = chance.choice(CAMERAS)
        add(at_ms, EVENTS, camera, a_violation(f"e{number}", camera))
    for minute in range(MINUTES):
        for camera in CAMERAS:
            begin_ms = start_ms + minute * 60_000
            persons = {EVERYWHERE: [chance.randrange(9), 1, 0, 0], "platform": [minute % 3, 1, 0, 0]}
            tally = Tally(camera=camera, start_ms=begin_ms, minutes=1, up_s=60, persons=persons)
            add(begin_ms + 60_000 + chance.randrange(6000), TALLIES, camera, {b"t": tally.to_bytes()})
    return sorted(found, key=lambda entry: entry[:3])


def store(brokers: Brokers, entries: list[Entry]) -> None:
    """Put a history into the streams under its own times, as judges had written it."""
    commands = []
    for entry in entries:
        kind, _, number = entry.stream.partition(" ")
        key = brokers.keys.events(int(number)) if kind == EVENTS else brokers.keys.tallies(int(number))
        fields = [part for pair in entry.fields.items() for part in pair]
        commands.append(("XADD", key, f"{entry.at_ms}-{entry.number}", *fields))
    assert all(isinstance(answer, bytes) for answer in call_many(brokers.state, commands))


def oracle(entries: list[Entry], end_ms: int) -> list[CloudEvent]:
    """What one site stage that never fails says up to ``end_ms``."""
    judge = SiteJudge(PLAN, SiteState())
    for entry in entries:
        judge.pass_time(entry.at_ms)
        judge.take(entry)
    judge.pass_time(end_ms)
    return [event for event, _ in judge.events]


def logged(brokers: Brokers) -> list[CloudEvent]:
    """Read the site's log as a stranger with a plain client would."""
    found = call_many(brokers.state, [("XRANGE", brokers.keys.site_events(), "-", "+")])[0]
    return [CloudEvent.model_validate_json(fields[b"event"]) for _, fields in found]


def story(events: list[CloudEvent], before: str) -> list[tuple[str, str, str, str, bytes]]:
    told = [event for event in events if event.time < before]
    return [(event.time, event.source, event.sequence, event.type, event.to_json()) for event in told]


class Stages:
    """Judge processes, each with its site stage, over one installation."""

    def __init__(self, url: str, keys: Keys) -> None:
        self._env = os.environ | {
            "MASKWATCH_STATE_URL": url,
            "MASKWATCH_PREFIX": keys.prefix,
            "MASKWATCH_PARTITIONS": str(keys.partitions),
            "MASKWATCH_JUDGE_LEASE_S": "1",
            "MASKWATCH_JUDGE_RENEW_S": "0.3",
            "MASKWATCH_JUDGE_BATCH": "2",
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.judge_process"]
        process = subprocess.Popen(command, cwd=ROOT, env=self._env, stderr=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.running.remove(process)

    def end(self) -> list[int]:
        for process in self.running:
            process.terminate()
        return [process.wait(15) for process in self.running]


@contextmanager
def stages_of(url: str, brokers: Brokers) -> Iterator[Stages]:
    PlanStore(brokers.state, brokers.keys.prefix).publish(PLAN.to_bytes())
    stages = Stages(url, brokers.keys)
    try:
        yield stages
    finally:
        for process in stages.running:
            process.kill()
            process.wait()


@pytest.fixture
def end_ms(brokers: Brokers) -> int:
    return whole_minute(brokers)


def whole_minute(brokers: Brokers) -> int:
    """A whole minute some minutes ago."""
    return broker_now_ms(brokers.state) // 60_000 * 60_000 - 180_000


def step_of(brokers: Brokers) -> str:
    return brokers.store("reader").load(SITE).offset


def holder(brokers: Brokers) -> str:
    """Process id of the judge whose site stage is at work."""
    owner = call_many(brokers.state, [("HGET", brokers.keys.owner(SITE), "owner")])[0]
    return str(owner.decode()).split("-")[-2] if owner else ""


def is_told(brokers: Brokers, expected: list[CloudEvent]) -> bool:
    return expected[-1].id in {event.id for event in logged(brokers)}


def assert_equal_to_oracle(brokers: Brokers, entries: list[Entry], end_ms: int) -> None:
    expected = oracle(entries, end_ms)
    before = expected[-1].time
    kinds = [event.type.split(".")[1] for event in expected]
    assert kinds.count("incident") > 60
    assert kinds.count("compliance") > 50
    until(lambda: is_told(brokers, expected), 30)
    assert story(logged(brokers), before) == story(expected, before)


def test_killed_site_stages_lose_and_double_nothing(broker_pair: EmbeddedPair, brokers: Brokers, end_ms: int) -> None:
    entries = history(brokers.keys, end_ms, random.Random(1))
    store(brokers, entries)
    expected = oracle(entries, end_ms)
    with stages_of(broker_pair.state.url, brokers) as stages:
        process, kills = stages.start(), 0
        while not is_told(brokers, expected) and kills < 6:
            before = step_of(brokers)
            until(functools.partial(lambda seen: step_of(brokers) != seen, before), 15)
            stages.kill(process)
            process = stages.start()
            kills += 1
        assert_equal_to_oracle(brokers, entries, end_ms)
        assert kills >= 2
        assert stages.end() == [0]


def test_a_frozen_site_stage_loses_and_doubles_nothing(
    broker_pair: EmbeddedPair, brokers: Brokers, end_ms: int
) -> None:
    """One is stopped in the middle for longer than its lease, another goes on, and the first wakes as a zombie."""
    entries = history(brokers.keys, end_ms, random.Random(2))
    store(brokers, entries)
    with stages_of(broker_pair.state.url, brokers) as stages:
        first = stages.start()
        until(lambda: step_of(brokers) > "0-0", 20)
        first.send_signal(signal.SIGSTOP)
        second = stages.start()
        until(lambda: holder(brokers) == str(second.pid), 20)
        first.send_signal(signal.SIGCONT)
        assert_equal_to_oracle(brokers, entries, end_ms)
        assert stages.end() == [0, 0]


def test_a_broker_that_crashes_loses_and_doubles_nothing(private_broker: EmbeddedBroker) -> None:
    with open_brokers(private_broker.url, private_broker.url) as brokers:
        end_ms = whole_minute(brokers)
        entries = history(brokers.keys, end_ms, random.Random(3))
        store(brokers, entries)
        with stages_of(private_broker.url, brokers) as stages:
            stages.start()
            for _ in range(3):
                before = step_of(brokers)
                until(functools.partial(lambda seen: step_of(brokers) != seen, before), 20)
                private_broker.restart()
            assert_equal_to_oracle(brokers, entries, end_ms)
            assert stages.end() == [0]
