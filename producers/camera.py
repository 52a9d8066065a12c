"""The life of one camera: open, read, publish, speak of it, and begin again until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import BrokerError, SourceEndedError, SourceError, SourceUnreachableError
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.siteplan import Camera
from producers import picture
from producers.backoff import Backoff
from producers.capture import Capture
from producers.ledger import Drop, Ledger
from producers.link import BrokerLink
from producers.losses import Losses
from producers.metrics import ProducerMetrics
from producers.motion import MotionGate
from producers.picture_state import Condition, PictureWatch
from producers.publisher import FramePublisher, Parcel, Word
from producers.settings import ProducerSettings
from producers.sources.reach import answers_at_once, knock
from producers.sources.source import FrameSource, SourceFrame, SourceSettings, open_source, settings_of
from producers.tally import Tally

_log = Log("producer")
_TICK_S = 0.2
_POLL_S = 0.02
_STEADY_S = 5.0
_MOST_STUCK = 3
_LEAVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cameras of a process share.

    Attributes:
        link: The frames broker.
        outstanding: Entries of a camera not dealt with yet; None where nobody reads it.
        metrics: Where things are counted.
        settings: Patience and thresholds.
        max_age_s: Age at which frames are no longer looked at, s.
        losses: Decides which lost cameras the log tells of.
    """

    link: BrokerLink
    outstanding: Callable[[str], int | None]
    metrics: ProducerMetrics
    settings: ProducerSettings
    max_age_s: float
    losses: Losses = field(default_factory=Losses)


class CameraRunner:
    """Serves one camera in the thread that calls `run`; nothing that happens to it reaches another camera.

    Attributes:
        finished: True once a finite source has delivered everything.
        ledger: Its books.
    """

    def __init__(self, camera: Camera, around: Surroundings, stop: StopSignal) -> None:
        settings = around.settings
        now = time.monotonic()
        self.camera = camera
        self.finished = False
        self.ledger = Ledger(camera.id, around.metrics)
        self._around = around
        self._stop = stop
        # A first connection may take its time before the silence counts.
        self._watch = PictureWatch(settings.state_rules(camera.fps), now + settings.open_timeout_s)
        self._tally = Tally(settings.heartbeat_s, now)
        self._gate = MotionGate() if camera.motion_gate else None
        self._backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
        self._publisher = FramePublisher(camera, around.link, self.ledger, int(time.time() * 1000), around.max_age_s)
        self._last_frame_at: float | None = None
        self._openings = 0
        self._failed = False
        self._stuck: list[Capture] = []

    @property
    def condition(self) -> Condition | None:
        """The camera's state, since when on the monotonic clock, and why; None while nothing is known."""
        return self._watch.condition

    def run(self) -> None:
        """Serve the camera until its source ends or a stop is asked for; the last thing sent is a final mark."""
        while not self._stop.is_set() and not self.finished:
            try:
                self._connect()
            except SourceEndedError as error:
                self.finished = True
                self._watch.fail(str(error), time.monotonic())
            except SourceError as error:
                self._lost(error, str(error))
            except Exception as error:  # noqa: BLE001 - one camera's fault, whatever it is, must not end its thread
                self._lost(error, f"unexpected {type(error).__name__}: {error}")
        self._say_goodbye()
        leaving = Deadline.after(_LEAVE_S)
        for capture in self._stuck:
            capture.join(leaving.left_s())  # a thread inside OpenCV at the very end of the process would abort it

    def _connect(self) -> None:
        self._stuck = [capture for capture in self._stuck if not capture.join(0)]
        if len(self._stuck) >= _MOST_STUCK:
            raise SourceUnreachableError(f"source: {_MOST_STUCK} earlier connections hang and cannot be ended")
        if self._openings:
            self._around.metrics.reconnects.labels(self.camera.id).inc()
        self._openings += 1
        # A thread for each knock at a door that is shut would cost ten times as much as the knock itself.
        knocking = self._failed and not answers_at_once(self.camera.source)
        settings = self._around.settings
        reading = settings_of(
            self.camera, open_timeout_s=settings.open_timeout_s, read_timeout_s=settings.read_timeout_s
        )
        capture = Capture(lambda: self._open(reading, knocking=knocking), self.camera.id)
        try:
            self._follow(capture)
        finally:
            capture.abandon()
            self._enter_lost(capture)
            if not capture.join(_TICK_S):
                self._stuck.append(capture)

    def _open(self, reading: SourceSettings, *, knocking: bool) -> FrameSource:
        if knocking:
            knock(self.camera.source, reading.open_timeout_s)
        return open_source(self.camera, reading)

    def _follow(self, capture: Capture) -> None:
        opened = heard = time.monotonic()
        patience_s = max(self._around.settings.stall_s, 3 / self.camera.fps)
        while not self._stop.is_set():
            frame = capture.next(_TICK_S)
            self._enter_lost(capture)
            if frame is not None:
                if self._last_frame_at is None or heard == opened:
                    _log.info("camera_delivers", camera=self.camera.id, width=frame.width, height=frame.height)
                self._handle(frame, capture)
                heard = time.monotonic()
                if heard - opened > _STEADY_S:
                    self._backoff.reset()
            elif time.monotonic() - heard > patience_s:
                raise SourceUnreachableError(f"source: stalled, no picture for {patience_s:g} s")
            frame = None  # megabytes, and the next one may be long in coming
            self._tick()

    def _handle(self, frame: SourceFrame, capture: Capture) -> None:
        if self._failed:
            self._failed = False
            self._around.losses.forget(self.camera.id)
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
        patient = not (self.camera.realtime or capture.live)
        refused = self._deliver(parcel) if patient else self._publisher.send(parcel)
        if refused is not None:
            self.ledger.drop(refused)
        self._watch.excuse(time.monotonic())

    def _look(self, frame: SourceFrame, now: float) -> Drop | None:
        """Learn what a picture tells of its camera, where that is due; says why it should not be published."""
        if self._gate is None and not self._watch.due(now):
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
                self._watch.excuse(time.monotonic())
                self._tick()
        return refused

    def _caught_up(self) -> bool:
        try:
            waiting = self._around.outstanding(self.camera.id)
        except BrokerError:
            return True  # sending finds out what is wrong, and paces the attempts
        return waiting is not None and waiting < self._around.settings.unread_limit

    def _lost(self, error: Exception, cause: str) -> None:
        self._failed = True
        self._watch.fail(cause, time.monotonic())
        pause = Deadline.after(self._backoff.next_s())
        held = self._around.losses.permit(self.camera.id, type(error).__name__, time.monotonic())
        if held is not None:
            retry_s = round(pause.left_s(), 2)
            _log.warning("camera_lost", camera=self.camera.id, cause=cause, retry_s=retry_s, held_back=held)
        self._tick()
        while not pause.spent() and not self._stop.wait(min(self._quiet_s(), pause.left_s())):
            self._tick()

    def _quiet_s(self) -> float:
        """Give how long a lost camera may sleep: nothing but its next word can become due."""
        return max(_TICK_S, self._tally.due_in_s(self._watch.condition, time.monotonic()))

    def _enter_lost(self, capture: Capture) -> None:
        for reason, count in capture.take_lost().items():
            self.ledger.drop(reason, count)

    def _tick(self) -> None:
        now = time.monotonic()
        condition = self._watch.tick(now)
        if condition is None or not self._tally.due(condition, now):
            return
        self._around.metrics.show_state(self.camera.id, condition.state)
        self._around.metrics.fps.labels(self.camera.id).set(self._tally.measure(now))
        if self._publisher.mark(condition, self._word(condition, now)):
            self._tally.said(condition, now)

    def _say_goodbye(self) -> None:
        now = time.monotonic()
        condition = self._watch.condition or self._watch.fail("never delivered a picture", now)
        self._around.metrics.show_state(self.camera.id, condition.state)
        told = Deadline.after(1.0)
        while not self._publisher.mark(condition, self._word(condition, now, final=True)) and not told.spent():
            self._stop.wait(_POLL_S)
        books = {"captured": self.ledger.captured, "published": self.ledger.published, **self.ledger.dropped}
        _log.info("camera_done", camera=self.camera.id, **books)

    def _word(self, condition: Condition, now: float, *, final: bool = False) -> Word:
        wall = time.time()
        return Word(wall, wall - (now - condition.since), self._last_frame_at, self._tally.fps, final)
