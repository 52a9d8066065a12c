"""One entry of a camera's frame stream, as a worker holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

GROUP = "infer"


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One entry of a camera's stream, as delivered to a worker.

    Attributes:
        camera: Camera id, from the stream's key.
        partition: Partition of the camera.
        entry_id: The broker's id, ``milliseconds-number``.
        header: Header JSON, None where the entry has none.
        jpeg: The picture, None for marks.
        deliveries: How often it was handed to somebody, this time included; above 1 an earlier holder failed.
    """

    camera: str
    partition: int
    entry_id: str
    header: bytes | None
    jpeg: bytes | memoryview | None
    deliveries: int = 1

    @classmethod
    def of(
        cls, place: tuple[str, int], entry_id: str, fields: Mapping[bytes, bytes], deliveries: int = 1
    ) -> FrameEntry:
        """Make an entry of a (camera, partition), its id and its fields; foreign fields are ignored."""
        return cls(place[0], place[1], entry_id, fields.get(b"h"), fields.get(b"jpeg"), deliveries)

    @property
    def entry_ms(self) -> int:
        """When the broker took it in, ms of the broker's clock."""
        return int(self.entry_id.partition("-")[0])

    @property
    def size(self) -> int:
        """Bytes of header and picture."""
        return len(self.header or b"") + len(self.jpeg or b"")


def by_camera(entries: Iterable[FrameEntry]) -> dict[str, list[str]]:
    """Sort the ids of entries by camera."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry.camera, []).append(entry.entry_id)
    return found
