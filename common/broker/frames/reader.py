"""Frame streams, one per camera: written by producers, read by any worker, trimmed by age (frames endpoint)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from common.broker.client import Client
from common.broker.frames.attention import Attention
from common.broker.frames.entries import GROUP, FrameEntry
from common.broker.frames.groups import Groups
from common.broker.frames.pending import PendingList
from common.broker.lag import lags
from common.broker.reading import Entries, read_present
from common.errors import BrokerRefusedError, BrokerUnavailableError
from common.partition import Keys

_ROUND_WIDTH = 250


class FrameReader:
    """Reads the frame streams of many cameras as one member of the group; used by one thread, but for `keepalive`.

    Nothing is read ahead: what `read` cannot hand out within its limits, it hands out first the next time. While a node
    of a cluster is away, the cameras of the others are read on.

    Attributes:
        resting: Partitions whose cameras are not read for now; what is in hand of them stays valid.
    """

    def __init__(self, client: Client, blocking_client: Client, keys: Keys, consumer: str) -> None:
        """Read as ``consumer``, a name that stays the same over restarts, e.g. host name and slot."""
        self.resting: frozenset[int] = frozenset()
        self._client = client
        self._blocking = blocking_client
        self._keys = keys
        self._head = ("XREADGROUP", "GROUP", GROUP, consumer)
        self._groups = Groups(client)
        self._pending = PendingList(client, keys, consumer)
        self._cameras: dict[str, str] = {}  # stream key → camera, partitions together
        self._undrained: dict[str, bool] = {}  # camera → whether what it has pending may have killed a former life
        self._ready: deque[FrameEntry] = deque()
        self._attention = Attention()
        self._turn = self._reclaims = self._looks = 0
        self._pause = threading.Event()

    @property
    def groups_recreated(self) -> int:
        """How often the broker had lost its groups and they were made again."""
        return self._groups.recreated

    def set_cameras(self, cameras: Iterable[str]) -> None:
        """Read these cameras from now on; frames in hand of others stay valid."""
        names = sorted(set(cameras), key=lambda name: (self._keys.partition_of(name), name))
        known = set(self._cameras.values())
        self._cameras = {self._keys.frames(name): name for name in names}
        self._attention.follow(self._cameras, time.monotonic())
        former = {name: True for name in names if name not in known}
        self._undrained = former | {
            name: why for name, why in self._undrained.items() if name in known.intersection(names)
        }

    def read(self, per_camera: int, max_entries: int, max_bytes: int, block_s: float) -> list[FrameEntry]:
        """Take new frames, a fair share from each camera in turn, waiting up to ``block_s`` seconds for the first.

        Where there are many cameras, those that show no pictures are asked four times a second; see `Attention`.

        Args:
            per_camera: Most entries of one camera at a time.
            max_entries: Most entries in all.
            max_bytes: Most bytes in all; one entry is always given, however large.
            block_s: Longest wait, s; 0 takes what is there.

        Raises:
            BrokerUnavailableError: Nothing is lost: what the lost reply held comes with a later call.
            BrokerRefusedError: The broker said no.
        """
        if not self._ready:
            try:
                self._fill(per_camera, (max_entries, max_bytes), block_s)
            except BrokerUnavailableError:
                self._undrained |= {name: False for name in self._cameras.values() if name not in self._undrained}
                raise
        taken: list[FrameEntry] = []
        size = 0
        while self._ready and len(taken) < max_entries and (not taken or size + self._ready[0].size <= max_bytes):
            taken.append(self._ready.popleft())
            size += taken[-1].size
        return taken

    def ack(self, entries: Iterable[FrameEntry]) -> int:
        """Acknowledge entries; what fails is kept and sent again with the next call.

        Returns:
            How many the broker knew: fewer than given means that others took them over, or that the group was lost.
        """
        return self._pending.ack(entries)

    def keepalive(self, entries: Iterable[FrameEntry]) -> None:
        """Tell the broker that these are still in work, so that nobody takes them over; any thread may do it."""
        self._pending.touch(entries)

    def hand_over(self, entries: Iterable[FrameEntry]) -> None:
        """Give entries, and what was read and not yet handed out, to whoever looks next; on an orderly end."""
        self._pending.hand_over([*entries, *self._ready])
        self._ready.clear()

    def reclaim(self, min_idle_s: float, count: int) -> list[FrameEntry]:
        """Take over up to ``count`` entries that their holder has not touched for ``min_idle_s`` seconds.

        Of many cameras, those that show no pictures take turns, five calls a round.
        """
        self._reclaims += 1
        entries = self._pending.orphans(list(self._some(self._read_now(), self._reclaims).values()), min_idle_s, count)
        self._pending.hold(entries)
        return entries

    def take_trimmed(self) -> dict[str, int]:
        """Give per camera how many entries were trimmed while pending, since the last call."""
        trimmed = {camera: count for camera, count in self._pending.trimmed.items() if count}
        self._pending.trimmed.clear()
        return trimmed

    def backlog(self) -> dict[str, float]:
        """Say per camera how many seconds reading is behind: 0 when all is read, NaN when the broker cannot tell.

        Of many cameras, those that show no pictures take turns, five calls a round. Any one thread may do it.
        """
        self._looks += 1
        return lags(self._client, self._some(self._cameras, self._looks))

    def _read_now(self) -> dict[str, str]:
        if not self.resting:
            return self._cameras
        return {key: name for key, name in self._cameras.items() if self._keys.partition_of(name) not in self.resting}

    def _some(self, cameras: dict[str, str], turn: int) -> dict[str, str]:
        return {key: cameras[key] for key in self._attention.share(list(cameras), turn, time.monotonic())}

    def _fill(self, per_camera: int, limits: tuple[int, int], block_s: float) -> None:
        keys = self._groups.ensure(self._read_now(), time.monotonic())
        if not keys:
            self._wait_for_groups(block_s)
            return
        try:
            self._drain(set(keys))
            deadline = time.monotonic() + block_s
            while not self._ready:
                now = time.monotonic()
                self._look_round(self._attention.others(keys, now))
                lively = self._attention.lively(keys, now)
                self._sweep(lively, per_camera, limits)
                left_s = deadline - time.monotonic()
                if self._ready or left_s <= 0:
                    return
                self._wait(lively, left_s if len(lively) == len(keys) else min(left_s, self._attention.left_s(now)))
        except BrokerRefusedError as error:
            if error.code != "nogroup":
                raise
            self._groups.lose()
            self._undrained |= dict.fromkeys(self._cameras.values(), False)

    def _wait(self, lively: list[str], block_s: float) -> None:
        if block_s <= 0:
            return
        if lively:
            self._receive(self._read(lively, 1, block_s))
        else:
            self._pause.wait(block_s)

    def _wait_for_groups(self, block_s: float) -> None:
        if self._groups.refused is not None:
            raise self._groups.refused
        if block_s > 0:
            self._pause.wait(block_s)

    def _drain(self, keys: set[str]) -> None:
        if not self._undrained:
            return
        for camera in [name for key, name in self._cameras.items() if name in self._undrained and key in keys]:
            try:
                entries = self._pending.own(camera, count_it=self._undrained[camera])
            except BrokerUnavailableError as error:
                if not error.node:
                    raise
                continue
            del self._undrained[camera]
            self._keep(entries)

    def _look_round(self, keys: list[str]) -> None:
        """Take one entry of each stream that has any; few of these have, so many are asked at a time."""
        for start in range(0, len(keys), _ROUND_WIDTH):
            self._receive(self._read(keys[start : start + _ROUND_WIDTH], 1, 0))

    def _sweep(self, keys: list[str], per_camera: int, limits: tuple[int, int]) -> None:
        """Visit the streams in turn until enough is read; COUNT is per stream, so few are asked at a time."""
        max_entries, max_bytes = limits
        width = max(1, max_entries // per_camera)
        for chunk in self._chunks(keys, width):
            left = max_entries - len(self._ready)
            if left <= 0 or sum(entry.size for entry in self._ready) >= max_bytes:
                return
            self._receive(self._read(chunk, min(per_camera, left), 0))
            self._turn += len(chunk)

    def _chunks(self, keys: list[str], width: int) -> Iterator[list[str]]:
        if not keys:
            return
        start = self._turn % len(keys)
        rotated = iter([*keys[start:], *keys[:start]])
        visited = 0
        while chunk := list(islice(rotated, width)):
            visited += len(chunk)
            yield chunk
            if not self._ready:
                width *= 2  # idle cameras cost little each, but a journey each when asked one by one

    def _read(self, keys: list[str], count: int, block_s: float) -> dict[str, Entries]:
        head = (*self._head, "COUNT", count)
        found = read_present(self._client, self._blocking, head, dict.fromkeys(keys, ">"), block_s)
        self._undrained |= {name: False for key in found.lost if (name := self._cameras[key]) not in self._undrained}
        return found.entries

    def _receive(self, found: dict[str, Entries]) -> None:
        for key, entries in found.items():
            camera = self._cameras[key]
            place = (camera, self._keys.partition_of(camera))
            for entry_id, fields in entries:
                if fields is None:
                    self._pending.drop(camera, entry_id)
                    continue
                self._keep([FrameEntry.of(place, entry_id, fields)])
                if b"jpeg" in fields:
                    self._attention.note(key, time.monotonic())

    def _keep(self, entries: list[FrameEntry]) -> None:
        self._ready.extend(entries)
        self._pending.hold(entries)
