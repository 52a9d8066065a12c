"""Judges that are killed, stopped and doubled write every event exactly once, on a real broker."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.errors import BrokerError
from common.events import CloudEvent
from common.schema import FrameResult, MarkResult, encode
from common.siteplan import Camera, SitePlan
from tests.brokers import Brokers, open_brokers
from tests.judge_scenes import SESSION, a_mark, scene, standing
from tests.waiting import until
from workers.judge.context import context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState, read_accounting

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = [f"cam-{number}" for number in range(8)]
PLAN = SitePlan(site="office", cameras=[Camera(id=camera, source="synthetic:x", name=camera) for camera in CAMERAS])
SECONDS = 60
Message = FrameResult | MarkResult


def messages_of(camera: str, number: int) -> list[Message]:
    """Somebody uncovered comes by every few seconds, at times of this camera's own; then the camera ends."""
    period = 7 + number % 3

    def visitor(t: float) -> tuple[float, float, float, str] | None:
        phase = (t + number) % period
        return (0.2 + 0.05 * phase, 0.4, 0.08, "no_mask") if phase < 3 else None

    def covered(t: float) -> tuple[float, float, float, str]:
        return (0.8, 0.5, 0.08, "mask")

    found: list[Message] = [a_mark(0, 0, camera=camera)]
    found += scene([visitor, covered], SECONDS, camera=camera)
    found.append(a_mark(SECONDS * 5, SECONDS, final=True, camera=camera))
    return found


def oracle(camera: str, messages: list[Message]) -> list[CloudEvent]:
    """What one judge that never fails says."""
    judge = CameraJudge(context_of(PLAN, camera), CameraState())
    events = [event for message in messages for event in judge.accept(message, SESSION)]
    return events + judge.tick(SESSION + 1)


def disturbed(messages: list[Message], chance: random.Random) -> list[Message]:
    """Repeat some results and let some overtake a few others, as several infer workers would."""
    keyed = [(index + chance.uniform(0, 3), message) for index, message in enumerate(messages)]
    keyed += [(key + chance.uniform(0, 9), message) for key, message in keyed if chance.random() < 0.1]
    first, last = messages[0], messages[-1]
    middle = [message for _, message in sorted(keyed, key=lambda pair: pair[0]) if isinstance(message, FrameResult)]
    return [first, *middle, last]


class Judges:
    """Judge processes over one installation."""

    def __init__(self, url: str, brokers: Brokers) -> None:
        keys = brokers.keys
        self._env = os.environ | {
            "MASKWATCH_STATE_URL": url,
            "MASKWATCH_PREFIX": keys.prefix,
            "MASKWATCH_PARTITIONS": str(keys.partitions),
            "MASKWATCH_JUDGE_LEASE_S": "1",
            "MASKWATCH_JUDGE_RENEW_S": "0.3",
            "MASKWATCH_JUDGE_REORDER_MS": "5000",  # a busy machine may hold up the feeder between two frames
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.judge_process"], cwd=ROOT, env=self._env, stderr=subprocess.DEVNULL
        )
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.running.remove(process)

    def end(self) -> list[int]:
        for process in self.running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        return [process.wait(15) for process in self.running]


@contextmanager
def judges_of(broker: EmbeddedBroker, brokers: Brokers) -> Iterator[Judges]:
    PlanStore(brokers.state, brokers.keys.prefix).publish(PLAN.to_bytes())
    judges = Judges(broker.url, brokers)
    try:
        yield judges
    finally:
        for process in judges.running:
            process.kill()
            process.wait()


def feed(brokers: Brokers, rounds: list[list[Message]], stop: threading.Event, pause_s: float) -> None:
    writer = ResultWriter(brokers.state, brokers.keys)
    for messages in rounds:
        batch = [(brokers.keys.partition_of(message.camera), encode(message)) for message in messages]
        while not written(writer, batch) and not stop.wait(0.02):
            pass
        if stop.wait(pause_s):
            return


def written(writer: ResultWriter, batch: list[tuple[int, bytes]]) -> bool:
    """Write a batch; after a broker error, which may have come after some of it, the whole batch is due again."""
    try:
        writer.append_many(batch)
    except BrokerError:
        return False
    return True


def entries_of(brokers: Brokers, stream: str) -> list[dict[bytes, bytes]]:
    """Read a stream as a stranger with a plain client would."""
    client = brokers.state
    assert isinstance(client, redis.Redis)
    found: Any = client.xrange(stream)
    return [fields for _, fields in found]


def add(brokers: Brokers, partition: int, fields: dict[str, bytes]) -> None:
    client: Any = brokers.state
    client.xadd(brokers.keys.results(partition), fields)


def owners(brokers: Brokers) -> set[str]:
    """Process ids of the judges that hold something."""
    return {holder.owner.split("-")[-2] for holder in brokers.store("reader").owners().values()}


def offsets(brokers: Brokers) -> list[str]:
    return [brokers.store("reader").load(number).offset for number in range(brokers.keys.partitions)]


def logged(brokers: Brokers) -> dict[str, list[CloudEvent]]:
    found: dict[str, list[CloudEvent]] = {camera: [] for camera in CAMERAS}
    for partition in range(brokers.keys.partitions):
        for fields in entries_of(brokers, brokers.keys.events(partition)):
            event = CloudEvent.model_validate_json(fields[b"event"])
            assert json.loads(fields[b"event"])["specversion"] == "1.0"
            assert fields[b"id"].decode() == event.id
            assert fields[b"type"].decode() == event.type
            found[fields[b"camera"].decode()].append(event)
    return found


def story(events: list[CloudEvent]) -> list[tuple[str, str, str]]:
    return [(event.sequence, event.type, event.id) for event in events]


def assert_equal_to_oracle(brokers: Brokers, scripts: dict[str, list[Message]], timeout_s: float) -> None:
    expected = {camera: story(oracle(camera, messages)) for camera, messages in scripts.items()}
    total = sum(map(len, expected.values()))
    assert total > 100
    until(lambda: sum(map(len, logged(brokers).values())) >= total, timeout_s)
    found = logged(brokers)
    assert {camera: story(events) for camera, events in found.items()} == expected
    frames = SECONDS * 5
    # The last frames say nothing that is logged, so they may be committed a moment after the last event.
    until(lambda: set(accounts(brokers).values()) == {(frames, frames, 0)}, timeout_s)


def accounts(brokers: Brokers) -> dict[str, tuple[int, int, int]]:
    """Give how many frames of each camera were published, processed and unaccounted for, as committed."""
    books = {}
    for partition in range(brokers.keys.partitions):
        for name, raw in brokers.store("reader").load(partition).cameras.items():
            account = read_accounting(raw)
            books[name] = (account.published, account.processed, account.unaccounted)
    return books


def scripts_and_rounds(seed: int) -> tuple[dict[str, list[Message]], list[list[Message]]]:
    chance = random.Random(seed)
    scripts = {camera: messages_of(camera, number) for number, camera in enumerate(CAMERAS)}
    lanes = [disturbed(messages, chance) for messages in scripts.values()]
    length = max(map(len, lanes))
    return scripts, [[lane[index] for lane in lanes if index < len(lane)] for index in range(length)]


def moved_on(brokers: Brokers, before: list[str], feeder: threading.Thread) -> bool:
    return offsets(brokers) != before or not feeder.is_alive()


def holds(brokers: Brokers, process: subprocess.Popen[bytes], wanted: bool) -> bool:
    return (str(process.pid) in owners(brokers)) is wanted


def test_killed_judges_lose_and_double_nothing(broker_pair: EmbeddedPair, brokers: Brokers) -> None:
    scripts, rounds = scripts_and_rounds(1)
    stop = threading.Event()
    with judges_of(broker_pair.state, brokers) as judges:
        feeder = threading.Thread(target=feed, args=(brokers, rounds, stop, 0.015))
        process = judges.start()
        feeder.start()
        kills = 0
        while feeder.is_alive():
            before = offsets(brokers)
            until(functools.partial(moved_on, brokers, before, feeder), 15)
            judges.kill(process)
            process = judges.start()
            kills += 1
        feeder.join()
        assert_equal_to_oracle(brokers, scripts, 20)
        assert kills >= 2
        assert judges.end() == [0]


def test_competing_and_frozen_judges_lose_and_double_nothing(broker_pair: EmbeddedPair, brokers: Brokers) -> None:
    """Two judges share; one is stopped for longer than its lease, loses its partitions, and wakes as a zombie."""
    scripts, rounds = scripts_and_rounds(2)
    stop = threading.Event()
    with judges_of(broker_pair.state, brokers) as judges:
        first, second = judges.start(), judges.start()
        until(lambda: len(owners(brokers)) == 2, 20)
        feeder = threading.Thread(target=feed, args=(brokers, rounds, stop, 0.015))
        feeder.start()
        for process in (first, second, first):
            until(functools.partial(holds, brokers, process, True), 10)
            process.send_signal(signal.SIGSTOP)
            until(functools.partial(holds, brokers, process, False), 10)
            process.send_signal(signal.SIGCONT)
        feeder.join()
        assert_equal_to_oracle(brokers, scripts, 20)
        assert judges.end() == [0, 0]


def test_a_broker_that_crashes_loses_and_doubles_nothing(private_broker: EmbeddedBroker) -> None:
    """Commits whose answer was lost are never sent again; the stored offset says whether they had worked."""
    scripts, rounds = scripts_and_rounds(3)
    stop = threading.Event()
    with open_brokers(private_broker.url, private_broker.url) as brokers, judges_of(private_broker, brokers) as judges:
        judges.start()
        until(lambda: len(owners(brokers)) == 1, 20)
        feeder = threading.Thread(target=feed, args=(brokers, rounds, stop, 0.005))
        feeder.start()
        for _ in range(4):
            before = offsets(brokers)
            until(functools.partial(moved_on, brokers, before, feeder), 15)
            private_broker.restart()
        feeder.join()
        assert_equal_to_oracle(brokers, scripts, 20)
        assert judges.end() == [0]


def test_a_stopped_judge_leaves_its_partitions_to_others_at_once(broker_pair: EmbeddedPair, brokers: Brokers) -> None:
    with judges_of(broker_pair.state, brokers) as judges:
        judges.start()
        until(lambda: len(brokers.store("reader").owners()) == brokers.keys.partitions, 20)
        assert judges.end() == [0]
        assert brokers.store("reader").owners() == {}


def test_a_dead_judge_is_replaced_within_its_lease_and_a_second(broker_pair: EmbeddedPair, brokers: Brokers) -> None:
    with judges_of(broker_pair.state, brokers) as judges:
        dying, heir = judges.start(), judges.start()
        until(lambda: len(owners(brokers)) == 2, 20)
        judges.kill(dying)
        died = time.monotonic()

        def all_are_the_heirs() -> bool:
            return owners(brokers) == {str(heir.pid)} and len(brokers.store("x").owners()) == brokers.keys.partitions

        until(all_are_the_heirs, 10)
        assert time.monotonic() - died < 1 + 1 + 1.5


def test_foreign_entries_are_put_aside_and_passed_over(broker_pair: EmbeddedPair, brokers: Brokers) -> None:
    keys = brokers.keys
    home = keys.partition_of(CAMERAS[0])
    stranger = next(f"x{n}" for n in range(99) if keys.partition_of(f"x{n}") != home)
    add(brokers, home, {"r": b"no json"})
    add(brokers, home, {"other": b"field"})
    add(brokers, home, {"r": encode(a_mark(0, 0)).replace(b'"v":1', b'"v":2')})
    add(brokers, home, {"r": encode(a_mark(0, 0, camera=stranger))})
    add(brokers, home, {"r": encode(a_mark(0, 0, camera=CAMERAS[0]))})
    with judges_of(broker_pair.state, brokers) as judges:
        judges.start()
        until(lambda: logged(brokers)[CAMERAS[0]], 20)
        assert judges.end() == [0]
    letters = entries_of(brokers, keys.dead_letters(home))
    assert [fields[b"reason"] for fields in letters] == [b"schema", b"fields", b"version", b"schema"]


@pytest.mark.parametrize("known", [True, False])
def test_a_camera_outside_the_plan_is_judged_under_the_first_policy(
    broker_pair: EmbeddedPair, brokers: Brokers, known: bool
) -> None:
    camera = CAMERAS[0] if known else "visitor-cam"
    home = brokers.keys.partition_of(camera)
    for message in scene([standing("no_mask")], 3, camera=camera):
        add(brokers, home, {"r": encode(message)})
    with judges_of(broker_pair.state, brokers) as judges:
        judges.start()
        entries = until(lambda: entries_of(brokers, brokers.keys.events(home)), 20)
    event = json.loads(entries[0][b"event"])
    assert event["data"]["policy"]["id"] == "default"
    assert event["data"]["camera"]["name"] == camera
