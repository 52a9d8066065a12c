"""The cameras of a process, each in a thread of its own: started, ended and replaced as the plan asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.schema import CameraState
from common.siteplan import Camera
from producers.camera import CameraRunner

CAPTURE_FIELDS = frozenset({"source", "fps", "width", "jpeg_quality", "motion_gate", "loop", "realtime"})
"""What of a camera's part of the plan capture depends on; a change of anything else disturbs nothing."""

_log = Log("producer")


@dataclass(frozen=True, slots=True)
class _Seat:
    camera: Camera
    runner: CameraRunner
    thread: threading.Thread
    stop: StopSignal

    @property
    def over(self) -> bool:
        """Whether it was told to end and has."""
        return self.stop.is_set() and not self.thread.is_alive()

    @property
    def finished(self) -> bool:
        """Whether its source came to its end, and nobody asked for another."""
        return self.runner.finished and not self.thread.is_alive() and not self.stop.is_set()

    @property
    def dead(self) -> bool:
        """Whether its thread ended though nobody asked and the source goes on."""
        return not (self.thread.is_alive() or self.runner.finished or self.stop.is_set())


class Roster:
    """Runs the wanted cameras; `follow` and `step` are called by one thread, the rest by any.

    Args:
        launch: Makes the runner of a camera that ends by the given signal.
        forget: Told of a camera that has ended and is not wanted any more.
        linger_s: How long the stream of such a camera is still tidied, s.
    """

    def __init__(
        self, launch: Callable[[Camera, StopSignal], CameraRunner], forget: Callable[[str], None], linger_s: float
    ) -> None:
        self._launch = launch
        self._forget = forget
        self._linger_s = linger_s
        self._wanted: dict[str, Camera] = {}
        self._seats: dict[str, _Seat] = {}
        self._gone: dict[str, float] = {}  # camera → monotonic time until which its stream is tidied

    def follow(self, cameras: Sequence[Camera]) -> None:
        """Want these cameras from now on: others end, new ones start, changed ones do both; the rest run on."""
        self._wanted = {camera.id: camera for camera in cameras}
        for name, seat in list(self._seats.items()):
            wanted = self._wanted.get(name)
            if wanted is None:
                seat.stop.set("removed from the plan")
            elif not same_capture(seat.camera, wanted):
                seat.stop.set("changed in the plan")
        self.step()

    def step(self) -> None:
        """Start what is due. A changed camera starts again only after its last word, so that sessions never mix."""
        now = time.monotonic()
        for name, seat in list(self._seats.items()):
            if seat.over:
                self._seats = {other: kept for other, kept in self._seats.items() if other != name}
                _log.info("camera_ends", camera=name, reason=seat.stop.reason)
                if name not in self._wanted:
                    self._forget(name)
                    self._gone[name] = now + self._linger_s
        self._gone = {name: until for name, until in self._gone.items() if until > now and name not in self._wanted}
        for name, camera in self._wanted.items():
            if name not in self._seats:
                self._start(camera)

    def tidied(self) -> list[str]:
        """Name the cameras whose streams this process keeps tidy: its own, and for a while those that it gave up."""
        return list({**self._wanted, **self._seats, **self._gone})

    def gone(self) -> list[str]:
        """Name those that it gave up lately."""
        return list(self._gone)

    def finished(self) -> bool:
        """Say whether there are cameras and all have come to their end by themselves."""
        seats = list(self._seats.values())
        return bool(seats) and len(seats) >= len(self._wanted) and all(seat.finished for seat in seats)

    def dead(self) -> list[str]:
        """Name the threads that ended though nobody asked."""
        return [seat.thread.name for seat in list(self._seats.values()) if seat.dead]

    def unheard(self) -> bool:
        """Say whether no camera has published yet and not all are known to be offline."""
        runners = [seat.runner for seat in list(self._seats.values())]
        states = [runner.condition.state if runner.condition else None for runner in runners]
        published = any(runner.ledger.published for runner in runners)
        return not published and any(state is not CameraState.OFFLINE for state in states)

    def drain(self, budget: Deadline, reason: str) -> list[str]:
        """End all cameras and wait for their last words; gives the names of threads that did not make it."""
        seats = list(self._seats.values())
        for seat in seats:
            seat.stop.set(reason)
        for seat in seats:
            seat.thread.join(budget.left_s())
        return [seat.thread.name for seat in seats if seat.thread.is_alive()]

    def _start(self, camera: Camera) -> None:
        stop = StopSignal()
        runner = self._launch(camera, stop)
        thread = threading.Thread(target=runner.run, name=f"camera-{camera.id}", daemon=True)
        self._seats = {**self._seats, camera.id: _Seat(camera, runner, thread, stop)}
        thread.start()


def same_capture(one: Camera, other: Camera) -> bool:
    """Say whether two entries of a plan ask for the very same pictures."""
    return one.model_dump(include=set(CAPTURE_FIELDS)) == other.model_dump(include=set(CAPTURE_FIELDS))
