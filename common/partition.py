"""Where a camera lives: its partition and the names of the partition's keys.

The tag in braces keeps all keys of a partition in one Cluster slot, so that a partition can be read with one
command and committed by one script.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

DEFAULT_PREFIX = "mw"
DEFAULT_PARTITIONS = 16
SITE = -1
"""Number of the pseudo partition that belongs to the whole site; its keys carry ``{site}``."""


@functools.lru_cache(maxsize=1 << 16)
def partition_of(camera: str, partitions: int) -> int:
    """Assign a camera to a partition by rendezvous hash, so that every process agrees without asking anyone.

    Args:
        camera: Camera id.
        partitions: Partition count, at least 1.

    Returns:
        Partition number in [0, partitions). With one partition more, a camera either stays or moves to the new one.
    """
    return max(range(partitions), key=lambda number: _weight(camera, number))


@functools.lru_cache(maxsize=1 << 16)
def _frames_key(prefix: str, partitions: int, camera: str) -> str:
    """Name a camera's stream once: this is asked for every frame."""
    return f"{prefix}:{{p{partition_of(camera, partitions):02d}}}:f:{camera}"


def _weight(camera: str, number: int) -> bytes:
    return hashlib.blake2b(f"{number}\x00{camera}".encode(), digest_size=8).digest()


def share_of(partitions: int, index: int, count: int) -> list[int]:
    """List the partitions that worker ``index`` of ``count`` looks at first; the shares are disjoint and cover all."""
    return [number for number in range(partitions) if number % count == index]


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of every key, made in one place.

    Attributes:
        prefix: First part of every key; two installations on one broker differ in it.
        partitions: Partition count of the installation.
    """

    prefix: str = DEFAULT_PREFIX
    partitions: int = DEFAULT_PARTITIONS

    def partition_of(self, camera: str) -> int:
        """Give the camera's partition number."""
        return partition_of(camera, self.partitions)

    def frames(self, camera: str) -> str:
        """Name the stream that carries a camera's frames (frames endpoint)."""
        return _frames_key(self.prefix, self.partitions, camera)

    def camera_of(self, frames_key: str) -> str:
        """Give back the camera of a frames key; the key, not the payload, says whose frame it is."""
        return frames_key.split("}:f:", 1)[1]

    def results(self, partition: int) -> str:
        """Name the stream of results of a partition (state endpoint); of `SITE`, its inbox."""
        return self.site("in") if partition == SITE else f"{self._tag(partition)}:res"

    def tallies(self, partition: int) -> str:
        """Name the stream of a partition's counts for statistics (state endpoint)."""
        return f"{self._tag(partition)}:tally"

    def owner(self, partition: int) -> str:
        """Name the hash with the partition's owner, expiry and epoch (state endpoint)."""
        return f"{self._tag(partition)}:own"

    def state(self, partition: int) -> str:
        """Name the hash with the judged offset and the state of each camera (state endpoint)."""
        return f"{self._tag(partition)}:st"

    def events(self, partition: int) -> str:
        """Name the event log of a partition (state endpoint)."""
        return f"{self._tag(partition)}:ev"

    def dead_letters(self, partition: int) -> str:
        """Name the dead-letter stream of a partition (state endpoint); it never holds pixels."""
        return f"{self._tag(partition)}:dlq"

    def picture(self, kind: str, camera: str, face: tuple[int, int, int]) -> str:
        """Name the key of a small picture (frames endpoint).

        Args:
            kind: ``snapshot`` or ``crop``.
            camera: Camera id.
            face: Session, sequence number, and the face's place in the frame's result.
        """
        session, seq, index = face
        short = "pic" if kind == "snapshot" else kind
        return f"{self._tag(self.partition_of(camera))}:{short}:{camera}:{session}:{seq}:{index}"

    def pictures(self, kind: str, partition: int) -> str:
        """Name the sorted set of the partition's pictures of a kind by when they end (frames endpoint)."""
        return f"{self._tag(partition)}:{'pics' if kind == 'snapshot' else 'crops'}"

    def feedback(self, partition: int, part: str = "") -> str:
        """Name the stream to which other tools write feedback, or a ``part`` of what is kept of it (state endpoint)."""
        return f"{self._tag(partition)}:fb{':' if part else ''}{part}"

    def site(self, name: str) -> str:
        """Name a key of the whole installation (state endpoint), such as ``plan`` or ``layout``."""
        return f"{self.prefix}:{{site}}:{name}"

    def site_events(self) -> str:
        """Name the event log of the site as a whole (state endpoint)."""
        return self.events(SITE)

    def _tag(self, partition: int) -> str:
        return f"{self.prefix}:{{site}}" if partition == SITE else f"{self.prefix}:{{p{partition:02d}}}"
