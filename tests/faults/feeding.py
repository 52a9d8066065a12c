"""Results of scripted people, written to a state broker while it is harmed, and what its judge makes of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.broker.client import call, connect
from common.broker.lag import broker_now_ms
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.broker.reading import order_of
from common.broker.results import ResultWriter
from common.errors import BrokerError
from common.partition import Keys
from common.schema import FrameResult, MarkResult, encode
from common.siteplan import Camera, SitePlan
from tests.faults.invariants import accepted_twice, other_than_oracle, out_of_order
from tests.faults.role import Role
from tests.faults.witness import Witness
from tests.judge_scenes import a_mark, scene
from tests.waiting import until

CAMERAS = [f"cam-{number}" for number in range(12)]
PLAN = SitePlan(site="office", cameras=[Camera(id=camera, source="synthetic:x", name=camera) for camera in CAMERAS])
SECONDS = 60
FEED_S = 30.0
Message = FrameResult | MarkResult


def script(camera: str, number: int) -> list[Message]:
    """Somebody uncovered comes by every few seconds, at times of this camera's own; then the camera ends."""

    def visitor(t: float) -> tuple[float, float, float, str] | None:
        phase = (t + number) % (7 + number % 3)
        return (0.2 + 0.05 * phase, 0.4, 0.08, "no_mask") if phase < 3 else None

    frames = scene([visitor], SECONDS, camera=camera)
    return [a_mark(0, 0, camera=camera), *frames, a_mark(SECONDS * 5, SECONDS, final=True, camera=camera)]


class Feed:
    """Writes each camera's results in a thread of its own, each at least once, over `FEED_S` seconds.

    Attributes:
        waited_s: By camera, the longest that one write took with all its tries.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        self.waited_s: dict[str, float] = dict.fromkeys(CAMERAS, 0.0)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._feed, args=(url, keys, camera, number), daemon=True)
            for number, camera in enumerate(CAMERAS)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until everything is written."""
        for thread in self._threads:
            thread.join(FEED_S + 60)
            assert not thread.is_alive(), "results cannot be written"

    def end(self) -> None:
        """Write no more."""
        self._over.set()

    def _feed(self, url: str, keys: Keys, camera: str, number: int) -> None:
        client = connect(url)
        writer = ResultWriter(client, keys)
        messages = script(camera, number)
        for message in messages:
            began = time.monotonic()
            while not _written(writer, (keys.partition_of(camera), encode(message))) and not self._over.wait(0.05):
                pass
            self.waited_s[camera] = max(self.waited_s[camera], time.monotonic() - began)
            if self._over.wait(FEED_S / len(messages)):
                break
        client.close()


def _written(writer: ResultWriter, result: tuple[int, bytes]) -> bool:
    try:
        writer.append_many([result])
    except BrokerError:
        return False
    return True


@contextmanager
def judging(url: str, keys: Keys, folder: Path) -> Iterator[Role]:
    """Have a judge process at work on an installation."""
    client = connect(url)
    ensure_layout(client, keys.prefix, keys.partitions)
    PlanStore(client, keys.prefix).publish(PLAN.to_bytes())
    client.close()
    variables = {"MASKWATCH_STATE_URL": url, "MASKWATCH_JUDGE_REORDER_MS": "5000"}
    role = Role("judge-0", ["judge"], variables, folder)
    role.start()
    try:
        until(lambda: role.answer("/readyz")[0] == 200, 60)
        yield role
    finally:
        role.end()


def behind(witness: Witness, partition: int) -> float:
    """Say how old the oldest unjudged result of a partition is, s."""
    offset = witness.store.load(partition).offset
    waiting = call(witness.state, "XRANGE", witness.keys.results(partition), f"({offset}", "+", "COUNT", 1)
    if not waiting:
        return 0.0
    return broker_now_ms(witness.state) / 1000 - order_of(waiting[0][0].decode())[0] / 1000


def fresh(witness: Witness, since_ms: int) -> bool:
    """Say whether every partition has judged something since, and nothing waits for longer than a second."""
    try:
        used = {witness.keys.partition_of(camera) for camera in CAMERAS}
        return all(
            behind(witness, number) < 1 and order_of(witness.store.load(number).offset)[0] > since_ms for number in used
        )
    except BrokerError:
        return False


def all_judged(witness: Witness) -> bool:
    """Say whether every camera is through and accounted for."""
    try:
        if not witness.judged():
            return False
        accounts = witness.accounts()
    except BrokerError:
        return False
    return len(accounts) == len(CAMERAS) and all(
        one.published == SECONDS * 5 and one.unaccounted == 0 for one in accounts.values()
    )


def assert_all_well(witness: Witness) -> int:
    """Check accounts, oracle and order; gives how many frames were lost, as the judge counted them."""
    until(lambda: all_judged(witness), 30)
    events = witness.events()
    for why in (accepted_twice(witness), other_than_oracle(witness, events), out_of_order(events)):
        assert not why, why
    assert sum(map(len, events.values())) > 30
    return sum(one.dropped.get("trimmed", 0) for one in witness.accounts().values())


class Reader(threading.Thread):
    """A subscriber that remembers what every id meant, over a failover."""

    def __init__(self, url: str, keys: Keys, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.conflicts: list[str] = []
        self.seen: dict[bytes, tuple[bytes, bytes]] = {}
        self._client, self._keys, self._over = connect(url, timeout_s=1), keys, over

    def run(self) -> None:
        while not self._over.wait(0.1):
            for partition in range(self._keys.partitions):
                self._look(partition)
        self._client.close()

    def _look(self, partition: int) -> None:
        try:
            found = call(self._client, "XRANGE", self._keys.events(partition), "-", "+")
        except BrokerError:
            return
        for _, fields in found:
            meaning = (fields[b"camera"], fields[b"type"])
            if self.seen.setdefault(fields[b"id"], meaning) != meaning:
                self.conflicts.append(fields[b"id"].decode())
