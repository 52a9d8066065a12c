"""The books of one camera: every frame captured was published or dropped for a reason."""

from __future__ import annotations

from enum import StrEnum

from producers.metrics import ProducerMetrics


class Drop(StrEnum):
    """Why a captured frame was not published."""

    MOTION = "motion"
    """Nothing moved, and the camera has a motion gate."""
    BUSY = "busy"
    """A newer one came before this one's turn, or nobody knows how long it lay waiting."""
    BROKEN = "broken"
    """The camera sent a picture that cannot be read."""
    TOO_LARGE = "too_large"
    """Its JPEG is larger than a frame may be."""
    STOPPED = "stopped"
    """The producer was told to stop, or gave the connection up, before its turn."""
    ENCODE = "encode"
    """No JPEG could be made of it."""
    OOM = "oom"
    """The broker's memory is full."""
    BROKER = "broker"
    """The broker did not answer, or refused for another reason."""


class Ledger:
    """Counts one camera's frames for its marks and for the metrics; used by one thread.

    Attributes:
        captured: Frames taken from the camera.
        published: Frames that the broker has, or may have.
        dropped: The others, by reason.
    """

    def __init__(self, camera: str, metrics: ProducerMetrics) -> None:
        self._camera = camera
        self._dropped = metrics.dropped
        # Named once: to look a series up costs more than to count.
        self._captured = metrics.captured.labels(camera)
        self._published = metrics.published.labels(camera)
        self.captured = 0
        self.published = 0
        self.dropped: dict[str, int] = {}

    def publish(self) -> None:
        """Enter a frame that was captured and published."""
        self._capture(1)
        self.published += 1
        self._published.inc()

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Enter frames that were captured and dropped."""
        if count:
            self._capture(count)
            self.dropped[reason.value] = self.dropped.get(reason.value, 0) + count
            self._dropped.labels(self._camera, reason.value).inc(count)

    def _capture(self, count: int) -> None:
        self.captured += count
        self._captured.inc(count)
