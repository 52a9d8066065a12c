"""What came in from the frame streams, sorted by what must be done with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from common.broker.frames.entries import FrameEntry
from common.errors import WireError
from common.pictures import PictureRef
from common.schema import CameraMark, FrameHeader, read_frame_message

MAX_HEADER_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame in hand.

    Attributes:
        entry: Its entry in the stream.
        header: Its header.
        read_at: When it was read, monotonic, s; 0 where nobody asks.
    """

    entry: FrameEntry
    header: FrameHeader
    read_at: float = 0.0

    @property
    def camera(self) -> str:
        """Whose it is; by the stream's key, never by the payload."""
        return self.entry.camera

    @property
    def published_at(self) -> float:
        """When the broker took it in, broker seconds."""
        return self.entry.entry_ms / 1000

    @property
    def jpeg(self) -> bytes:
        """The picture's bytes; none where the entry has none."""
        return bytes(self.entry.jpeg or b"")

    @property
    def picture_name(self) -> PictureRef:
        """What a snapshot of its first face is called."""
        return PictureRef("snapshot", self.camera, self.header.session, self.header.seq, 0)


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a producer in hand."""

    entry: FrameEntry
    mark: CameraMark


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Entries of one read, each list in the order of arrival.

    Attributes:
        frames: Handed out for the first time.
        suspects: Frames whose earlier holder failed; they must not share a batch.
        marks: Marks of producers.
        foreign: Entries that are no messages of ours, with what is wrong with them.
    """

    frames: list[Frame] = field(default_factory=list)
    suspects: list[Frame] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    foreign: list[tuple[FrameEntry, WireError]] = field(default_factory=list)


def sort_entries(entries: Iterable[FrameEntry], now: float = 0.0) -> Arrivals:
    """Read the header of each entry and sort it, at ``now``, monotonic, s; nothing here looks at pixels."""
    arrivals = Arrivals()
    for entry in entries:
        try:
            message = _message(entry)
        except WireError as error:
            arrivals.foreign.append((entry, error))
            continue
        if isinstance(message, CameraMark):
            arrivals.marks.append(Mark(entry, message))
        elif entry.deliveries > 1:
            arrivals.suspects.append(Frame(entry, message, now))
        else:
            arrivals.frames.append(Frame(entry, message, now))
    return arrivals


def _message(entry: FrameEntry) -> FrameHeader | CameraMark:
    if entry.header is None:
        raise WireError("fields", "no field 'h'")
    if len(entry.header) > MAX_HEADER_BYTES:
        raise WireError("fields", f"field 'h' has {len(entry.header)} bytes, at most {MAX_HEADER_BYTES}")
    return read_frame_message(entry.header)
