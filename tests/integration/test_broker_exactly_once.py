"""Owners that race, sleep and lose replies, on a broker that is killed: every event is logged exactly once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.ownership import Commit, EventRecord, Lease, PartitionStore
from common.broker.results import ResultWriter
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, FencedError, OffsetMovedError
from common.partition import Keys
from tests.waiting import until

CAMERAS = 6
FRAMES = 400
EVERY = 5  # each fifth frame of a camera is an event
P = 0
TTL_S = 0.3


class Judge(threading.Thread):
    """A small judge: counts frames of each camera in committed state, and logs an event at each fifth."""

    def __init__(self, url: str, keys: Keys, name: str, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._client = connect(url, timeout_s=1.0)
        self._store = PartitionStore(self._client, connect(url, blocking_s=0.2), keys, name, TTL_S)
        self._ending = stop
        self._batches = 0
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                lease = self._store.acquire(P)
                if lease is None:
                    self._ending.wait(0.05)
                else:
                    self._own(lease)
            except (FencedError, OffsetMovedError, BrokerUnavailableError, BrokerRefusedError) as error:
                self.refused[error.code] += 1
                self._ending.wait(0.05)

    def _own(self, lease: Lease) -> None:
        state = self._store.load(P)
        offset, seen = state.offset, {camera: int(last) for camera, last in state.cameras.items()}
        while not self._ending.is_set():
            batch = self._store.read({P: offset}, 40, 0.1).get(P, [])
            self._batches += bool(batch)
            if batch and self._batches % 9 == 0:
                self._ending.wait(2 * TTL_S)  # a zombie: it wakes up believing it still owns the partition
            elif not self._store.renew(lease):
                return
            if not batch:
                continue
            events = self._judge(batch, seen)
            states = {camera: str(last).encode() for camera, last in seen.items()}
            self._store.commit(lease, Commit(offset, batch[-1][0], events, states))
            offset = batch[-1][0]

    @staticmethod
    def _judge(batch: list[tuple[str, bytes]], seen: dict[str, int]) -> list[EventRecord]:
        events = []
        for _, payload in batch:
            camera, seq = json.loads(payload)
            if seq <= seen.get(camera, -1):
                continue  # a duplicate
            seen[camera] = seq
            if seq % EVERY == 0:
                events.append(EventRecord(payload, "violation.started", camera, f"{camera}:{seq}"))
        return events


def produce(url: str, keys: Keys, done: threading.Event) -> None:
    """Write every result at least once and in order; a write in doubt is repeated, so duplicates arise."""
    writer = ResultWriter(connect(url, timeout_s=1.0), keys)
    for seq in range(FRAMES):
        batch = [(P, json.dumps([f"cam{number}", seq]).encode()) for number in range(CAMERAS)]
        while not done.is_set():
            try:
                writer.append_many(batch)
                break
            except BrokerError:
                done.wait(0.02)
        if seq % 7 == 0:
            done.wait(0.02)


def test_racing_owners_and_a_killed_broker_lose_and_double_no_event(tmp_path: Path) -> None:
    """Two owners with zombie pauses and three kills of the broker: the log holds each expected event once."""
    keys = Keys("t", 1)
    expected = {f"cam{camera}:{seq}" for camera in range(CAMERAS) for seq in range(0, FRAMES, EVERY)}
    stop, done = threading.Event(), threading.Event()
    with EmbeddedBroker(tmp_path, persist=True, name="state") as broker:
        judges = [Judge(broker.url, keys, f"judge{number}", stop) for number in range(2)]
        producer = threading.Thread(target=produce, args=(broker.url, keys, done), daemon=True)
        watcher = threading.Thread(target=broker.watch, args=(done,), daemon=True)
        for thread in (*judges, producer, watcher):
            thread.start()
        client = connect(broker.url)
        ids: list[str] = []
        try:
            for kill in range(1, 4):
                until(lambda kill=kill: logged(client, keys) >= kill * len(expected) // 5, 30)  # type: ignore[misc]
                broker.kill()
            until(lambda: logged(client, keys) >= len(expected), 40)
        finally:
            stop.set()
            done.set()
            for thread in (*judges, producer, watcher):
                thread.join(10)
        ids = [fields[b"id"].decode() for _, fields in call(client, "XRANGE", keys.events(P), "-", "+")]
    assert broker.restarts == 3
    assert sum(judge.refused["fenced"] + judge.refused["offset"] for judge in judges) > 0
    assert Counter(ids) == Counter(expected)


def logged(client: object, keys: Keys) -> int:
    """Count the events in the log; 0 while the broker is away."""
    try:
        return int(call(client, "XLEN", keys.events(P)))  # type: ignore[arg-type]
    except BrokerError:
        return 0
