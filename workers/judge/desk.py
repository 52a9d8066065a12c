"""One partition in the hands of one judge: its cameras, how far it has read, and the commit that is due.

Everything here is memory that may be thrown away: what counts is what the broker holds, and that changes in one commit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from common.broker.ownership import Commit, EventRecord, Lease, PartitionState
from common.broker.reading import order_of
from common.errors import WireError
from common.events import CloudEvent
from common.log import Log
from common.partition import partition_of
from common.resultrecord import read_record
from common.schema import MarkResult
from common.tally import Tally
from workers.judge.context import CameraContext
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState
from workers.judge.ways import Ways

_log = Log("judge")
_LAST_NUMBER = 2**64 - 1
_FORGET_EVERY_MS = 60_000
CALM_STEP_MS = 500
PRIVATE_KEEP_MS = 10_000
"""How long judged results, which hold boxes, stay where a camera of the partition may only be counted, ms."""
Contexts = Callable[[str], CameraContext]


@dataclass(slots=True)
class Counted:
    """What a commit will have counted."""

    outcomes: Counter[str] = field(default_factory=Counter)
    trimmed: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that is no result of this partition: where it stands, and why it is passed over."""

    entry_id: str
    reason: str
    sha256: str
    error: str


class Desk:
    """A partition that is being judged.

    Args:
        lease: The right to try.
        partitions: Partition count, to see whether a camera belongs here.
        stored: What the last commit left.
        contexts: Camera id to its context.
        ways: Told of judged frames.
    """

    def __init__(
        self, lease: Lease, partitions: int, stored: PartitionState, contexts: Contexts, ways: Ways | None = None
    ) -> None:
        self.lease = lease
        self._ways = ways or Ways()
        self.cursor = stored.offset
        self.letters: list[Letter] = []
        self.events: list[CloudEvent] = []
        self.tallies: list[Tally] = []
        self.tally = Counted()
        self._committed = stored.offset
        self._partitions = partitions
        self._contexts = contexts
        self._judges: dict[str, CameraJudge] = {}
        self._changed: set[str] = set()
        self._counted: dict[str, tuple[int, int, int]] = {}
        self._removed: list[str] = []
        self._forget_ms = self._calm_ms = 0
        self._trimmed_ms = 0
        for camera, raw in stored.cameras.items():
            self._open(camera, raw)

    def take(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Judge entries of the result stream, in order; what is no result of ours is noted and passed over."""
        for entry_id, payload in entries:
            try:
                self._take_one(entry_id, payload)
            except WireError as error:
                self._put_aside(entry_id, payload, (error.reason, str(error)))
            except Exception as error:  # noqa: BLE001 - one entry must never stop the judging of a partition
                _log.error("entry_failed", partition=self.lease.partition, entry=entry_id, error=repr(error)[:300])
                self._put_aside(entry_id, payload, ("judge", repr(error)))
            self.cursor = entry_id

    def tick(self, now_ms: int) -> None:
        """Let time pass for all cameras, up to a broker time for which every entry was taken.

        Where nothing is going on it passes in steps of half a second.
        """
        everybody = abs(now_ms - self._calm_ms) >= CALM_STEP_MS  # the broker's clock may have been set back
        if everybody:
            self._calm_ms = now_ms
        for camera, judge in self._judges.items():
            if not (everybody or judge.busy):
                continue
            before = judge.stamp()
            events = judge.tick(now_ms)
            if events or judge.stamp() != before:
                self._collect(judge, events)
                self._changed.add(camera)

    def renew_contexts(self) -> None:
        """Follow a changed plan."""
        for camera, judge in self._judges.items():
            judge.context = self._contexts(camera)

    def forget(self, now_ms: int, after_ms: int, planned: Callable[[str], bool]) -> None:
        """Give up the state of cameras that are in no plan and were silent for longer than ``after_ms``."""
        if now_ms < self._forget_ms:
            return
        self._forget_ms = now_ms + _FORGET_EVERY_MS
        for camera, judge in list(self._judges.items()):
            state = judge.state
            silent = 0 < state.standing.alive_ms < now_ms - after_ms
            if silent and not state.tracks and not state.incidents and not planned(camera):
                del self._judges[camera], self._counted[camera]
                self._changed.discard(camera)
                self._removed.append(camera)
                _log.info("camera_forgotten", camera=camera, silent_s=(now_ms - state.standing.alive_ms) // 1000)

    def due(self, now_ms: int, keep_ms: int, events_kept: int) -> Commit | None:
        """Give the commit that would make everything so far last; None where nothing changed."""
        offset = self._safe_offset()
        private = any(judge.context.counts_only for judge in self._judges.values())
        keep_ms = min(keep_ms, PRIVATE_KEEP_MS) if private else keep_ms
        milliseconds, number = order_of(offset)
        trim = private and self._trimmed_ms <= milliseconds < now_ms - keep_ms
        if not (self._changed or self._removed or trim) and offset == self._committed:
            return None
        self._trimmed_ms = now_ms - keep_ms
        return Commit(
            from_offset=self._committed,
            to_offset=offset,
            events=[EventRecord(event.to_json(), event.type, event.partitionkey, event.id) for event in self.events],
            states={camera: self._judges[camera].state.to_bytes() for camera in self._changed},
            removed=list(self._removed),
            tallies=[tally.to_bytes() for tally in self.tallies],
            trim_before_ms=max(0, now_ms - keep_ms),
            trim_exactly=private,
            read_to=f"{milliseconds}-{number + 1}" if private and number < _LAST_NUMBER else "",
            events_kept=events_kept,
        )

    def committed(self, step: Commit) -> tuple[list[CloudEvent], Counted]:
        """Note that a commit was carried out; gives what it made true, for the metrics."""
        self._committed = step.to_offset
        for camera in self._changed:
            self._count(camera)
        events, tally = self.events, self.tally
        self.events, self.tallies, self.tally = [], [], Counted()
        self._changed.clear()
        self._removed.clear()
        self._ways.committed()
        return events, tally

    def take_letters(self) -> list[Letter]:
        """Give the entries that were put aside, once."""
        letters, self.letters = self.letters, []
        return letters

    def _take_one(self, entry_id: str, payload: bytes) -> None:
        if not payload:
            raise WireError("fields", "no field r")
        message = read_record(payload)
        camera = message.camera
        judge = self._judges.get(camera)
        if judge is None:
            if partition_of(camera, self._partitions) != self.lease.partition:
                raise WireError("schema", f"camera {camera} belongs to another partition")
            judge = self._open(camera, None)
        self._changed.add(camera)
        moment = order_of(entry_id)
        self._collect(judge, judge.accept(message, moment[0], moment))
        self.tally.outcomes["mark" if isinstance(message, MarkResult) else message.outcome.value] += 1

    def _open(self, camera: str, raw: bytes | None) -> CameraJudge:
        try:
            state = CameraState() if raw is None else CameraState.from_bytes(raw)
        except WireError as error:
            _log.error("state_unreadable", camera=camera, error=str(error), consequence="its episodes start over")
            state = CameraState()
        judge = self._judges[camera] = CameraJudge(self._contexts(camera), state, self._ways.witness)
        book = state.book
        self._counted[camera] = (book.duplicates, book.late, book.dropped.get("trimmed", 0))
        return judge

    def _collect(self, judge: CameraJudge, events: list[CloudEvent]) -> None:
        self.events += events
        self.tallies += judge.tallies
        judge.tallies.clear()

    def _put_aside(self, entry_id: str, payload: bytes, why: tuple[str, str]) -> None:
        self.letters.append(Letter(entry_id, why[0], hashlib.sha256(payload).hexdigest(), why[1][:500]))

    def _safe_offset(self) -> str:
        waiting = [held for judge in self._judges.values() if (held := judge.held_from()) is not None]
        if not waiting:
            return self.cursor
        milliseconds, number = min(waiting)
        before = f"{milliseconds}-{number - 1}" if number else f"{milliseconds - 1}-{_LAST_NUMBER}"
        return max(before, self._committed, key=order_of)

    def _count(self, camera: str) -> None:
        book = self._judges[camera].state.book
        duplicates, late, trimmed = self._counted[camera]
        now = (book.duplicates, book.late, book.dropped.get("trimmed", 0))
        self._counted[camera] = now
        self.tally.duplicates += now[0] - duplicates
        self.tally.late += now[1] - late
        self.tally.trimmed[camera] += max(0, now[2] - trimmed)
