"""The life of one camera: open, read, publish, speak of it, and begin again until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from common.errors import SourceEndedError, SourceError, SourceUnreachableError
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.siteplan import Camera
from producers.backoff import Backoff
from producers.capture import Capture
from producers.desk import CameraDesk, Surroundings
from producers.guest import CameraGuest
from producers.ledger import Ledger
from producers.picture_state import Condition
from producers.sources.reach import answers_at_once, knock
from producers.sources.source import ArrivingSource, FrameSource, SourceFrame, SourceSettings, open_source, settings_of

_log = Log("producer")
_TICK_S = 0.2
_STEADY_S = 5.0
_MOST_STUCK = 3
_LEAVE_S = 1.0


class CameraRunner:
    """Serves one camera in the thread that calls `run`; nothing that happens to it reaches another camera.

    Attributes:
        finished: True once a finite source has delivered everything.
    """

    def __init__(self, camera: Camera, around: Surroundings, stop: StopSignal) -> None:
        settings = around.settings
        self.camera = camera
        self.finished = False
        self._around = around
        self._stop = stop
        self._desk = CameraDesk(camera, around, stop)
        self._backoff = Backoff(settings.retry_first_s, settings.retry_most_s)
        self._patience_s = max(settings.stall_s, 3 / camera.fps)
        self._openings = 0
        self._failed = False
        self._stuck: list[Capture] = []

    @property
    def condition(self) -> Condition | None:
        """The camera's state, since when on the monotonic clock, and why; None while nothing is known."""
        return self._desk.condition

    @property
    def ledger(self) -> Ledger:
        """The camera's books."""
        return self._desk.ledger

    def run(self) -> None:
        """Serve the camera until its source ends or a stop is asked for; the last thing sent is a final mark."""
        while not self._stop.is_set() and not self.finished:
            try:
                self._connect()
            except SourceEndedError as error:
                self.finished = True
                self._desk.fail(str(error))
            except SourceError as error:
                self._lost(error, str(error))
            except Exception as error:  # noqa: BLE001 - one camera's fault, whatever it is, must not end its thread
                self._lost(error, f"unexpected {type(error).__name__}: {error}")
        self._desk.say_goodbye()
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
        began = time.monotonic()
        source = self._alone(lambda: self._open(reading, knocking=knocking), began)
        while source is not None:
            shared: ArrivingSource = source
            if not self._together(shared, began):
                return
            source = self._alone(lambda: shared, began)  # noqa: B023 - opened before the next turn

    def _open(self, reading: SourceSettings, *, knocking: bool) -> FrameSource:
        if knocking:
            knock(self.camera.source, reading.open_timeout_s)
        return open_source(self.camera, reading)

    def _alone(self, opener: Callable[[], FrameSource], began: float) -> ArrivingSource | None:
        """Read a source in a thread of its own; gives it back where others' reader may have it, None at the end."""
        share = self._around.reader is not None and not self._desk.selective
        capture = Capture(opener, self.camera.id, share=share)
        try:
            return self._follow(capture, began)
        finally:
            capture.abandon()
            self._desk.enter_lost(capture.take_lost())
            if not capture.join(_TICK_S):
                self._stuck.append(capture)

    def _together(self, source: ArrivingSource, began: float) -> bool:
        """Have a source read by the thread that reads others, too; True where it must be read alone from now on."""
        silent_s = self._around.settings.read_timeout_s
        guest = CameraGuest(source, self._desk, self._stop, picture_s=self._patience_s, silent_s=silent_s)
        over = True
        try:
            if self._around.reader is not None:
                self._around.reader.serve(guest)
            over = self._stop.is_set()
            return not over
        finally:
            self._praise(guest.seen_at - began)
            if over:
                source.close()

    def _follow(self, capture: Capture, began: float) -> ArrivingSource | None:
        opened = heard = time.monotonic()
        while not self._stop.is_set():
            frame = capture.next(_TICK_S)
            self._desk.enter_lost(capture.take_lost())
            if frame is not None:
                self._welcome(frame, first=heard == opened)
                self._desk.handle(frame, live=capture.live)
                heard = time.monotonic()
                self._praise(heard - began)
            elif time.monotonic() - heard > self._patience_s:
                raise SourceUnreachableError(f"source: stalled, no picture for {self._patience_s:g} s")
            frame = None  # megabytes, and the next one may be long in coming
            if (shared := capture.take_shared()) is not None:
                return shared
            self._desk.tick()
        return None

    def _welcome(self, frame: SourceFrame, *, first: bool) -> None:
        if first:
            _log.info("camera_delivers", camera=self.camera.id, width=frame.width, height=frame.height)
        if self._failed:
            self._failed = False
            self._around.losses.forget(self.camera.id)

    def _praise(self, held_s: float) -> None:
        """Call again at once next time, if a connection gave pictures for ``held_s`` s."""
        if held_s > _STEADY_S:
            self._backoff.reset()

    def _lost(self, error: Exception, cause: str) -> None:
        self._failed = True
        self._desk.fail(cause)
        pause = Deadline.after(self._backoff.next_s())
        held = self._around.losses.permit(self.camera.id, type(error).__name__, time.monotonic())
        if held is not None:
            retry_s = round(pause.left_s(), 2)
            _log.warning("camera_lost", camera=self.camera.id, cause=cause, retry_s=retry_s, held_back=held)
        self._desk.tick()
        # A lost camera may sleep: nothing but its next word can become due.
        while not pause.spent() and not self._stop.wait(min(max(_TICK_S, self._desk.quiet_s()), pause.left_s())):
            self._desk.tick()
