"""A camera whose source the shared reader reads."""

from __future__ import annotations

import time

from common.errors import NotAVideoError, SourceUnreachableError
from common.lifecycle import StopSignal
from producers.desk import CameraDesk
from producers.ledger import Drop
from producers.sources.source import Arrivals, ArrivingSource

MOST_BROKEN = 50
"""So many broken pictures in a row are no video."""


class CameraGuest:
    """Brings what arrives to the camera's desk, and notices when nothing does.

    Args:
        source: Where pictures arrive.
        desk: What becomes of them.
        stop: Asks for the end.
        picture_s: No picture for longer than this ends the connection, s.
        silent_s: Nothing at all for longer than this does, s.

    Attributes:
        seen_at: When the last picture came, monotonic s.
    """

    def __init__(
        self, source: ArrivingSource, desk: CameraDesk, stop: StopSignal, *, picture_s: float, silent_s: float
    ) -> None:
        self.source = source
        self._desk = desk
        self._stop = stop
        self._picture_s = picture_s
        self._silent_s = silent_s
        self._heard_at = self.seen_at = time.monotonic()
        self._broken = 0

    def take(self, arrivals: Arrivals) -> None:
        """Publish pictures; see `sharedreader.Guest`."""
        self._hear(arrivals)
        for frame in arrivals.frames:
            self._desk.handle(frame, live=True)

    def lose(self, arrivals: Arrivals) -> None:
        """Enter pictures that are of no known time; see `sharedreader.Guest`."""
        self._hear(arrivals)
        self._desk.enter_lost({Drop.BUSY: len(arrivals.frames)})
        self._desk.excuse()

    def excuse(self) -> None:
        """Forgive silence; see `sharedreader.Guest`."""
        self._heard_at = self.seen_at = time.monotonic()
        self._desk.excuse()

    def tick(self) -> bool:
        """Say how the camera is, where that is due; see `sharedreader.Guest`."""
        if self._stop.is_set():
            return False
        now = time.monotonic()
        if now - self._heard_at > self._silent_s:
            raise SourceUnreachableError("source: the stream fell silent")
        if now - self.seen_at > self._picture_s:
            raise SourceUnreachableError(f"source: stalled, no picture for {self._picture_s:g} s")
        self._desk.tick()
        return True

    def _hear(self, arrivals: Arrivals) -> None:
        self._heard_at = time.monotonic()
        if arrivals.frames:
            self.seen_at = self._heard_at
            self._broken = 0
        if arrivals.broken:
            self._broken += arrivals.broken
            self._desk.enter_lost({Drop.BROKEN: arrivals.broken})
            if self._broken >= MOST_BROKEN:
                raise NotAVideoError("source: nothing but broken pictures")
