"""What a test needs to talk to its brokers: clients of both kinds, and key names that no other test uses."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.broker.client import Client, connect
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.ownership import PartitionStore
from common.partition import Keys

_NUMBERS = itertools.count()
LONGEST_BLOCK_S = 2.0


def fresh_keys(partitions: int = 4) -> Keys:
    """Make key names that nobody has used yet."""
    return Keys(f"t{os.getpid()}x{next(_NUMBERS)}", partitions)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Clients of the two endpoints, and the test's own keys."""

    frames: Client
    frames_blocking: Client
    state: Client
    state_blocking: Client
    keys: Keys

    def reader(self, consumer: str, *cameras: str) -> FrameReader:
        """Make a reader of these cameras."""
        reader = FrameReader(self.frames, self.frames_blocking, self.keys, consumer)
        reader.set_cameras(cameras)
        return reader

    def writer(self) -> FrameWriter:
        """Make a frame writer."""
        return FrameWriter(self.frames, self.keys)

    def store(self, owner: str, ttl_s: float = 6.0) -> PartitionStore:
        """Make a partition store for an owner."""
        return PartitionStore(self.state, self.state_blocking, self.keys, owner, ttl_s)


@contextmanager
def open_brokers(frames_url: str, state_url: str) -> Iterator[Brokers]:
    """Connect to both endpoints for one test."""
    made = [
        connect(frames_url),
        connect(frames_url, blocking_s=LONGEST_BLOCK_S),
        connect(state_url),
        connect(state_url, blocking_s=LONGEST_BLOCK_S),
    ]
    try:
        yield Brokers(made[0], made[1], made[2], made[3], fresh_keys())
    finally:
        for client in made:
            client.close()
