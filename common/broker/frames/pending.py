"""The group's list of entries that were handed out and not yet acknowledged, and everything that is done to it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common.broker.client import Client, call, call_many
from common.broker.frames.entries import GROUP, FrameEntry, by_camera
from common.broker.reading import entries_of
from common.errors import BrokerError, of_one_node
from common.partition import Keys

PAGE = 500
HANDED_OVER_IDLE_MS = 10_000_000  # beyond any min-idle: the next worker that looks takes it at once
Pending = list[tuple[str, int]]  # (entry id, deliveries so far)


class PendingList:
    """What one consumer has in hand, and what others have left behind.

    Attributes:
        held: Camera to the ids that our caller works on.
        trimmed: Camera to the number of pending entries found trimmed away.
    """

    def __init__(self, client: Client, keys: Keys, consumer: str) -> None:
        """Use a command client, as ``consumer``."""
        self.held: dict[str, set[str]] = defaultdict(set)
        self.trimmed: Counter[str] = Counter()
        self._client = client
        self._keys = keys
        self._consumer = consumer
        self._unacked: dict[str, set[str]] = defaultdict(set)
        self._claiming = threading.Lock()

    def hold(self, entries: Iterable[FrameEntry]) -> None:
        """Take note that the caller works on these."""
        for entry in entries:
            self.held[entry.camera].add(entry.entry_id)

    def ack(self, entries: Iterable[FrameEntry]) -> int:
        """Acknowledge entries, and those whose acknowledgement failed before; says how many the broker knew."""
        for camera, ids in by_camera(entries).items():
            self._unacked[camera] |= set(ids)
        cameras = [camera for camera, ids in self._unacked.items() if ids]
        answers = self._each(cameras, lambda camera: ("XACK", self._key(camera), GROUP, *self._unacked[camera]))
        known = 0
        for camera, answer in zip(cameras, answers, strict=True):
            if not isinstance(answer, BrokerError):
                known += int(answer)
                self.held[camera] -= self._unacked.pop(camera)
        _raise_first(answers)
        return known

    def touch(self, entries: Iterable[FrameEntry]) -> None:
        """Restart the idle time of entries in work; their delivery count stays (JUSTID).

        What was handed over meanwhile is left alone: the next worker would wait for it, or lose it to one that ends.
        """
        with self._claiming:
            ours = [entry for entry in entries if entry.entry_id in self.held.get(entry.camera, ())]
            self._claim_ids(ours, ("JUSTID",))

    def hand_over(self, entries: Iterable[FrameEntry]) -> None:
        """Let the next worker that looks take these at once; their delivery count stays until it does."""
        entries = list(entries)
        with self._claiming:
            self._claim_ids(entries, ("IDLE", HANDED_OVER_IDLE_MS, "JUSTID"))
            for entry in entries:
                self.held[entry.camera].discard(entry.entry_id)

    def own(self, camera: str, *, count_it: bool) -> list[FrameEntry]:
        """Take out what the broker says we have and our caller does not: lost replies, or a former life's work.

        Reading id 0 would do it too, but would also count a delivery for every entry that is in work right now.

        Args:
            camera: Camera id.
            count_it: True counts one more delivery (a former life may have died of it); False where a reply was lost.
        """
        found: list[FrameEntry] = []
        start = "-"
        while True:
            page = self._ask("XPENDING", self._key(camera), GROUP, start, "+", PAGE, self._consumer)
            ours = self.held[camera] | self._unacked[camera]
            wanted = [(entry_id, count) for entry_id, count in _pending(page) if entry_id not in ours]
            found += self._take(camera, wanted, count_it=count_it)
            if len(page) < PAGE:
                return found
            start = f"({_pending(page)[-1][0]}"

    def orphans(self, cameras: Sequence[str], min_idle_s: float, count: int) -> list[FrameEntry]:
        """Take over up to ``count`` entries that nobody touched for ``min_idle_s`` s; each counts one more delivery."""
        idle_ms = max(1, round(1000 * min_idle_s))
        pages = self._each(cameras, lambda name: ("XPENDING", self._key(name), GROUP, "IDLE", idle_ms, "-", "+", count))
        found: list[FrameEntry] = []
        for camera, page in zip(cameras, pages, strict=True):
            if isinstance(page, BrokerError):
                if page.code != "nogroup" and not of_one_node(page):
                    raise page
                continue
            if page and len(found) < count:
                found += self._take_over(camera, _pending(page), (idle_ms, count - len(found)))
        return found

    def _take_over(self, camera: str, stale: Pending, limits: tuple[int, int]) -> list[FrameEntry]:
        idle_ms, count = limits
        group = (self._key(camera), GROUP, self._consumer)
        reply = self._ask("XAUTOCLAIM", *group, idle_ms, stale[0][0], "COUNT", count)
        self.trimmed[camera] += len(reply[2])
        counts = dict(stale)
        return self._entries(camera, [(found, counts.get(found[0], 1) + 1) for found in entries_of(reply[1])])

    def _take(self, camera: str, wanted: Pending, *, count_it: bool) -> list[FrameEntry]:
        taken: list[FrameEntry] = []
        for deliveries in sorted({count for _, count in wanted}):
            ids = [entry_id for entry_id, count in wanted if count == deliveries]
            counted = deliveries + count_it
            group = (self._key(camera), GROUP, self._consumer)
            there = entries_of(self._ask("XCLAIM", *group, 0, *ids, "RETRYCOUNT", counted))
            self.trimmed[camera] += len(ids) - len(there)  # the broker has dropped those ids from the list by now
            taken += self._entries(camera, [(found, counted) for found in there])
        return taken

    def _entries(self, camera: str, found: Iterable[tuple[tuple[str, Any], int]]) -> list[FrameEntry]:
        place = (camera, self._keys.partition_of(camera))
        whole: list[FrameEntry] = []
        for (entry_id, fields), deliveries in found:
            if fields is None:
                self.drop(camera, entry_id)
            else:
                whole.append(FrameEntry.of(place, entry_id, fields, deliveries))
        return whole

    def drop(self, camera: str, entry_id: str) -> None:
        """Count an entry of which only the id is left as trimmed; it is acknowledged with the next `ack`."""
        self.trimmed[camera] += 1
        self._unacked[camera].add(entry_id)

    def _claim_ids(self, entries: Iterable[FrameEntry], options: tuple[Any, ...]) -> None:
        ids = by_camera(entries)
        claim = (GROUP, self._consumer, 0)
        answers = self._each(list(ids), lambda name: ("XCLAIM", self._key(name), *claim, *ids[name], *options))
        _raise_first([one for one in answers if getattr(one, "code", "") != "nogroup"])  # nothing left to claim

    def _ask(self, *command: Any) -> Any:
        return call(self._client, *command)

    def _each(self, cameras: Sequence[str], command: Callable[[str], tuple[Any, ...]]) -> list[Any]:
        return call_many(self._client, [command(camera) for camera in cameras]) if cameras else []

    def _key(self, camera: str) -> str:
        return self._keys.frames(camera)


def _pending(page: Sequence[Any]) -> Pending:
    return [(item["message_id"].decode(), int(item["times_delivered"])) for item in page]


def _raise_first(answers: Sequence[Any]) -> None:
    """Raise the first error, unless a node is away while others answer: its cameras are asked again later."""
    for answer in answers:
        if isinstance(answer, BrokerError) and not of_one_node(answer):
            raise answer
