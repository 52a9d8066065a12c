"""What really happened, read from the brokers directly, past every proxy: results, events, accounts, owners, lags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from common.broker.client import Client, call, connect
from common.broker.lag import broker_now_ms
from common.broker.ownership import PartitionStore
from common.broker.reading import order_of
from common.partition import Keys
from common.schema import FrameResult, MarkResult, Outcome, read_result
from common.siteplan import SitePlan
from workers.judge.accounting import Accounting
from workers.judge.context import context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState, read_accounting

PATIENCE_S = 1.0
FRESH_S = 2.0
"""A camera's newest result is at most this old when all is well, s."""
PENDING_S = 3.0
"""And nothing that was read waits for longer, s: the age limit of frames, and a batch."""
Message = FrameResult | MarkResult


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a result stream; ``id`` is (broker ms, number)."""

    id: tuple[int, int]
    message: Message


class Witness:
    """Reads everything and changes nothing.

    Args:
        frames_url: The frames broker itself.
        state_url: The state broker itself.
        keys: Names of the installation's keys.
        plan: The plan in force.
    """

    def __init__(self, frames_url: str, state_url: str, keys: Keys, plan: SitePlan) -> None:
        self.frames: Client = connect(frames_url, timeout_s=PATIENCE_S)
        self.state: Client = connect(state_url, timeout_s=PATIENCE_S)
        self.keys = keys
        self.plan = plan
        self.cameras = [camera.id for camera in plan.cameras if camera.source.startswith("synthetic:")]
        self.store = PartitionStore(self.state, self.state, keys, "witness")

    def close(self) -> None:
        """Give the connections back."""
        self.frames.close()
        self.state.close()

    def trouble(self, pids: set[int], since_s: float) -> str:
        """Say what is not yet as it is in good times (I5); empty once it is.

        Args:
            pids: Processes that live; a lease of any other is no owner.
            since_s: Broker time, s; only results of later frames count, and nothing from before may be in hand.

        Raises:
            BrokerError: A broker does not answer.
        """
        owners = self.store.owners()
        orphans = [n for n in range(self.keys.partitions) if n not in owners or _pid(owners[n].owner) not in pids]
        if orphans:
            return f"partitions without an owner: {orphans}"
        now_ms = broker_now_ms(self.state)
        for camera in self.cameras:
            if why := self._lag(camera, now_ms, since_s) or self._pending(camera, since_s):
                return f"{camera}: {why}"
        return ""

    def pending(self) -> int:
        """Say how many frames were read and not acknowledged."""
        return sum(int(self._pending_of(camera)["pending"]) for camera in self.cameras)

    def entries(self, partition: int) -> Iterator[Entry]:
        """Read a partition's results from its begin, a thousand at a time."""
        start = "-"
        key = self.keys.results(partition)
        while found := call(self.state, "XRANGE", key, start, "+", "COUNT", 1000):
            for entry_id, fields in found:
                yield Entry(order_of(entry_id.decode()), read_result(fields[b"r"]))
            start = f"({found[-1][0].decode()}"

    def results(self) -> Iterator[FrameResult]:
        """Give every result of every frame, in the order of each partition."""
        for partition in range(self.keys.partitions):
            for entry in self.entries(partition):
                if isinstance(entry.message, FrameResult):
                    yield entry.message

    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Read each camera's events in the order of the log."""
        found: dict[str, list[dict[str, Any]]] = {camera: [] for camera in self.cameras}
        for partition in range(self.keys.partitions):
            for _, fields in call(self.state, "XRANGE", self.keys.events(partition), "-", "+"):
                found.setdefault(fields[b"camera"].decode(), []).append(json.loads(fields[b"event"]))
        return found

    def retold(self) -> dict[str, list[tuple[str, str]]]:
        """Judge all results once more by a judge that never fails: the oracle of I3. Gives each camera's (type, id)."""
        told: dict[str, list[tuple[str, str]]] = {}
        now_ms = broker_now_ms(self.state)
        for partition in range(self.keys.partitions):
            judges: dict[str, CameraJudge] = {}
            for entry in self.entries(partition):
                camera = entry.message.camera
                if camera not in judges:
                    judges[camera] = CameraJudge(context_of(self.plan, camera), CameraState())
                events = judges[camera].accept(entry.message, entry.id[0], entry.id)
                told.setdefault(camera, []).extend((event.type, event.id) for event in events)
            for camera, judge in judges.items():
                told[camera] += [(event.type, event.id) for event in judge.tick(now_ms)]
        return told

    def accounts(self) -> dict[str, Accounting]:
        """Give each camera's account as the judge has committed it."""
        return {
            camera: read_accounting(raw)
            for partition in range(self.keys.partitions)
            for camera, raw in self.store.load(partition).cameras.items()
        }

    def final(self, session_after: int) -> bool:
        """Say whether every camera's producer has said its last word, in a session from ``session_after`` on."""
        last = set()
        for partition in range(self.keys.partitions):
            for _, fields in call(self.state, "XREVRANGE", self.keys.results(partition), "+", "-", "COUNT", 2000):
                message = read_result(fields[b"r"])
                if isinstance(message, MarkResult) and message.mark.final and message.mark.session >= session_after:
                    last.add(message.camera)
        return last >= set(self.cameras)

    def judged(self) -> bool:
        """Say whether every result that is there has been judged."""
        for partition in range(self.keys.partitions):
            newest = call(self.state, "XREVRANGE", self.keys.results(partition), "+", "-", "COUNT", 1)
            if newest and order_of(self.store.load(partition).offset) < order_of(newest[0][0].decode()):
                return False
        return True

    def _lag(self, camera: str, now_ms: int, since_s: float) -> str:
        partition = self.keys.partition_of(camera)
        for entry_id, fields in call(self.state, "XREVRANGE", self.keys.results(partition), "+", "-", "COUNT", 60):
            message = read_result(fields[b"r"])
            if message.camera != camera or not isinstance(message, FrameResult) or message.outcome is not Outcome.OK:
                continue
            age_s = now_ms / 1000 - message.published_at
            if message.published_at < since_s or age_s > FRESH_S:
                return f"the newest result is {age_s:.1f} s old"
            judged_ms = order_of(self.store.load(partition).offset)[0]
            if judged_ms < max(1000 * since_s, order_of(entry_id.decode())[0] - 1000 * FRESH_S):
                return "judging is behind"
            return ""
        return "no result"

    def _pending(self, camera: str, since_s: float) -> str:
        first = self._pending_of(camera)["min"]
        if not first:
            return ""
        read_s = order_of(first.decode())[0] / 1000
        age_s = broker_now_ms(self.frames) / 1000 - read_s
        return f"an entry waits for {age_s:.1f} s" if read_s < since_s or age_s > PENDING_S else ""

    def _pending_of(self, camera: str) -> Any:
        return call(self.frames, "XPENDING", self.keys.frames(camera), "infer")


def _pid(owner: str) -> int:
    return int(owner.split("-")[-2])
