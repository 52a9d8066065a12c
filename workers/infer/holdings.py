"""What this worker has in hand and has not acknowledged, and which marks must still wait behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from common.broker.frames.entries import FrameEntry
from common.broker.reading import order_of
from workers.infer.arrivals import Arrivals, Mark


class Holdings:
    """Entries between read and acknowledgement. Thread-safe: the keeper looks while the loop works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], FrameEntry] = {}
        self._marks: list[Mark] = []

    def take(self, arrivals: Arrivals) -> None:
        """Take note of everything that came in."""
        frames = [frame.entry for frame in (*arrivals.frames, *arrivals.suspects)]
        with self._lock:
            for entry in (*frames, *(entry for entry, _ in arrivals.foreign)):
                self._entries[entry.camera, entry.entry_id] = entry
            self._marks += arrivals.marks

    def unknown(self, entries: Iterable[FrameEntry]) -> list[FrameEntry]:
        """Leave out what is in hand already: after an outage the broker may hand it out to its own holder again."""
        held = {(entry.camera, entry.entry_id) for entry in self.entries()}
        return [entry for entry in entries if (entry.camera, entry.entry_id) not in held]

    def let_go(self, entries: Iterable[FrameEntry]) -> None:
        """Forget entries that are finished."""
        with self._lock:
            for entry in entries:
                self._entries.pop((entry.camera, entry.entry_id), None)

    def ready_marks(self) -> list[Mark]:
        """Give, once, the marks that nothing unfinished of their camera precedes; they stay in hand until let go."""
        with self._lock:
            first: dict[str, tuple[int, int]] = {}
            for camera, entry_id in self._entries:
                first[camera] = min(order_of(entry_id), first.get(camera, order_of(entry_id)))
            ready = [m for m in self._marks if order_of(m.entry.entry_id) < first.get(m.entry.camera, _NEVER)]
            kept = {id(mark) for mark in ready}
            self._marks = [mark for mark in self._marks if id(mark) not in kept]
            self._entries |= {(mark.entry.camera, mark.entry.entry_id): mark.entry for mark in ready}
            return ready

    def entries(self) -> list[FrameEntry]:
        """List everything in hand, marks included."""
        with self._lock:
            return [*self._entries.values(), *(mark.entry for mark in self._marks)]


_NEVER = (1 << 63, 0)
