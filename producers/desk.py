"""What becomes of a camera's pictures, and what is said of the camera: the same whoever reads its source."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from common.errors import BrokerError
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.siteplan import Camera
from producers import picture
from producers.ledger import Drop, Ledger
from producers.link import BrokerLink
from producers.losses import Losses
from producers.metrics import ProducerMetrics
from producers.motion import MotionGate
from producers.picture_state import Condition, PictureWatch
from producers.publisher import FramePublisher, Parcel, Word
from producers.settings import ProducerSettings
from producers.sharedreader import SharedReader
from producers.sources.source import SourceFrame
from producers.tally import Tally

_log = Log("producer")
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cameras of a process share.

    Attributes:
        link: The frames broker.
        outstanding: Entries of a camera not dealt with yet; None where nobody reads it.
        metrics: Where things are counted.
        settings: Patience and thresholds.
        max_age_s: Age at which frames are no longer looked at, s.
        reader: Reads the sources that one thread can read together; None has every source read by a thread of its own.
        losses: Decides which lost cameras the log tells of.
    """

    link: BrokerLink
    outstanding: Callable[[str], int | None]
    metrics: ProducerMetrics
    settings: ProducerSettings
    max_age_s: float
    reader: SharedReader | None = None
    losses: Losses = field(default_factory=Losses)


class CameraDesk:
    """Looks at a camera's pictures, publishes them, keeps its books and says how it is; used by one thread at a time.

    Attributes:
        ledger: The books.
        selective: Whether every picture is looked at to see whether it is wanted.
    """

    def __init__(self, camera: Camera, around: Surroundings, stop: StopSignal) -> None:
        settings = around.settings
        now = time.monotonic()
        self.ledger = Ledger(camera.id, around.metrics)
        self._camera = camera
        self._around = around
        self._stop = stop
        # A first connection may take its time before the silence counts.
        self._watch = PictureWatch(settings.state_rules(camera.fps), now + settings.open_timeout_s)
        self._tally = Tally(settings.heartbeat_s, now)
        self._gate = MotionGate() if camera.motion_gate else None
        self.selective = self._gate is not None
        self._publisher = FramePublisher(camera, around.link, self.ledger, int(time.time() * 1000), around.max_age_s)
        self._last_frame_at: float | None = None

    @property
    def condition(self) -> Condition | None:
        """The camera's state, since when on the monotonic clock, and why; None while nothing is known."""
        return self._watch.condition

    def handle(self, frame: SourceFrame, *, live: bool) -> None:
        """Publish a picture, or enter why not; of a camera that is not live, wait until it can be published."""
        self._last_frame_at = frame.captured_at
        self._tally.count()
        unwanted = self._look(frame, time.monotonic())
        if unwanted is not None:
            self.ledger.drop(unwanted)
            return
        parcel = self._publisher.pack(frame)
        if isinstance(parcel, Drop):
            self.ledger.drop(parcel)
            return
        refused = self._publisher.send(parcel) if live or self._camera.realtime else self._deliver(parcel)
        if refused is not None:
            self.ledger.drop(refused)
        self.excuse()

    def enter_lost(self, lost: Mapping[Drop, int]) -> None:
        """Enter pictures that never came here."""
        for reason, count in lost.items():
            self.ledger.drop(reason, count)

    def excuse(self) -> None:
        """Take in that the silence up to now was not the camera's."""
        self._watch.excuse(time.monotonic())

    def fail(self, cause: str) -> None:
        """Take in that the source broke, did not open, or ended."""
        self._watch.fail(cause, time.monotonic())

    def quiet_s(self) -> float:
        """Give how long, s, nothing has to be said of a camera that is lost."""
        return self._tally.due_in_s(self._watch.condition, time.monotonic())

    def tick(self) -> None:
        """Take in that time passed; says how the camera is where that is due."""
        now = time.monotonic()
        condition = self._watch.tick(now)
        if condition is None or not self._tally.due(condition, now):
            return
        self._around.metrics.show_state(self._camera.id, condition.state)
        self._around.metrics.fps.labels(self._camera.id).set(self._tally.measure(now))
        if self._publisher.mark(condition, self._word(condition, now)):
            self._tally.said(condition, now)

    def say_goodbye(self) -> None:
        """Send the last word, for at most a second."""
        now = time.monotonic()
        condition = self._watch.condition or self._watch.fail("never delivered a picture", now)
        self._around.metrics.show_state(self._camera.id, condition.state)
        told = Deadline.after(1.0)
        while not self._publisher.mark(condition, self._word(condition, now, final=True)) and not told.spent():
            self._stop.wait(_POLL_S)
        books = {"captured": self.ledger.captured, "published": self.ledger.published, **self.ledger.dropped}
        _log.info("camera_done", camera=self._camera.id, **books)

    def _look(self, frame: SourceFrame, now: float) -> Drop | None:
        """Learn what a picture tells of its camera, where that is due; says why it should not be published."""
        size = None if frame.jpeg is None else len(frame.jpeg)
        if self._gate is None and not self._watch.due(now, size):
            self._watch.excuse(now)
            return None
        try:
            grey = picture.thumbnail(frame)
        except Exception:  # noqa: BLE001 - whatever a decoder makes of one picture, the next may be well
            return Drop.BROKEN
        self._watch.observe(picture.read(grey), now)
        return None if self._gate is None or self._gate.admit(grey, now) else Drop.MOTION

    def _deliver(self, parcel: Parcel) -> Drop | None:
        """Wait until the workers keep up and the broker takes the frame; only a stop makes it a drop."""
        refused: Drop | None = Drop.STOPPED
        while refused is not None and not self._stop.is_set():
            if self._caught_up():
                refused = self._publisher.send(parcel)
            if refused is not None:
                self._stop.wait(_POLL_S)
                self.excuse()
                self.tick()
        return refused

    def _caught_up(self) -> bool:
        try:
            waiting = self._around.outstanding(self._camera.id)
        except BrokerError:
            return True  # sending finds out what is wrong, and paces the attempts
        return waiting is not None and waiting < self._around.settings.unread_limit

    def _word(self, condition: Condition, now: float, *, final: bool = False) -> Word:
        wall = time.time()
        return Word(wall, wall - (now - condition.since), self._last_frame_at, self._tally.fps, final)
