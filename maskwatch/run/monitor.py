"""What a run looks like from outside: reads results and events as any subscriber may, and keeps figures of them."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.broker.reading import order_of
from common.errors import BrokerError, WireError
from common.lifecycle import StopSignal
from common.schema import LABELS, CameraMark, FrameResult, MarkResult, Outcome, read_result
from maskwatch.connection import StateDesk

WINDOW_S = 5.0
LATENCIES_KEPT = 200_000
EVENTS_SHOWN = 200
READ_COUNT = 500
BLOCK_S = 0.25

NOT_CAUSED_BY_A_FRAME = ("camera_lost", "timeout")
"""Reasons whose events come because frames do not; the time since the last frame is then no latency."""

OnResult = Callable[[FrameResult], None]
OnEvent = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class CameraFigures:
    """What is shown of one camera; times are seconds since the epoch, by broker clock."""

    state: str = "waiting"
    fps_in: float = 0.0
    results: int = 0
    faces: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_before: dict[str, int] = field(default_factory=dict)
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=600))
    first_at: float = 0.0
    final: bool = False

    def fps_out(self, now: float) -> float:
        """Results a second over the last seconds."""
        return sum(1 for at, _ in self.recent if now - at <= WINDOW_S) / WINDOW_S

    def latency_s(self, now: float) -> float | None:
        """Median capture-to-result time of the last seconds."""
        values = sorted(latency for at, latency in self.recent if now - at <= WINDOW_S)
        return values[len(values) // 2] if values else None


class Monitor:
    """Follows a run on the state broker in a thread of its own; reading disturbs nobody.

    Attributes:
        cameras: Camera id to its figures.
        events: The last events, oldest first, as read.
        result_latencies_s: Capture to result, of frames that were looked at.
        event_latencies_s: Capture of the causing frame to its violation event in the log.
    """

    def __init__(self, desk: StateDesk, on_result: Sequence[OnResult] = (), on_event: OnEvent | None = None) -> None:
        self.cameras: dict[str, CameraFigures] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_SHOWN)
        self.all_events: list[dict[str, Any]] = []
        self.result_latencies_s: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.event_latencies_s: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.last_seen_s = 0.0
        self._desk = desk
        self._on_result = on_result
        self._on_event = on_event
        # What is judged already belongs to an earlier run on the same broker.
        self._offsets = {number: desk.partitions.load(number).offset for number in range(desk.keys.partitions)}
        self._cursors = desk.events.start_cursors("now")
        self._stop = StopSignal()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Read what is left, then end."""
        self._stop.set()
        self._thread.join()
        self._follow()

    def all_final(self, cameras: list[str]) -> bool:
        """Say whether every camera's last word has come through inference."""
        with self._lock:
            return all(self.cameras.get(camera, CameraFigures()).final for camera in cameras)

    def judged(self) -> bool:
        """Say whether the judge has committed every result that was read here."""
        store = self._desk.partitions
        with self._lock:
            offsets = dict(self._offsets)
        wanted = {number: offset for number, offset in offsets.items() if offset != "0-0"}
        return all(order_of(store.load(number).offset) >= order_of(offset) for number, offset in wanted.items())

    def figures(self) -> dict[str, CameraFigures]:
        """Give the figures by camera, sorted."""
        with self._lock:
            return dict(sorted(self.cameras.items()))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except BrokerError:
                self._stop.wait(0.5)

    def _follow(self) -> None:
        found = self._desk.partitions.read(self._offsets, READ_COUNT, BLOCK_S)
        for number, entries in found.items():
            for entry_id, payload in entries:
                with self._lock:
                    self._take(entry_id, payload)
                    self._offsets[number] = entry_id
        for event in self._desk.events.read(self._cursors, 0, READ_COUNT):
            self._cursors[event.partition] = event.entry_id
            self._take_event(order_of(event.entry_id)[0] / 1000, json.loads(event.event))

    def _take(self, entry_id: str, payload: bytes) -> None:
        at = order_of(entry_id)[0] / 1000
        self.last_seen_s = max(self.last_seen_s, at)
        try:
            message = read_result(payload)
        except WireError:
            return
        figures = self.cameras.setdefault(message.camera, CameraFigures())
        if isinstance(message, MarkResult):
            _take_mark(figures, message.mark)
            return
        figures.results += 1
        figures.first_at = figures.first_at or message.captured_at
        if message.outcome != Outcome.OK:
            figures.dropped[message.reason or message.outcome.value] += 1
            return
        figures.recent.append((at, at - message.captured_at))
        self.result_latencies_s.append(at - message.captured_at)
        figures.faces = len(message.faces)
        figures.verdicts = Counter(LABELS[_best(face.probabilities)] for face in message.faces)
        for tell in self._on_result:
            tell(message)

    def _take_event(self, at: float, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.all_events.append(event)
        if ".violation." in event["type"] and event["data"]["reason"] not in NOT_CAUSED_BY_A_FRAME:
            self.event_latencies_s.append(at - _unix(event["time"]))
        if self._on_event:
            self._on_event(event)


def _take_mark(figures: CameraFigures, mark: CameraMark) -> None:
    figures.state, figures.fps_in, figures.final = mark.state.value, mark.fps, mark.final
    for reason, total in mark.dropped.items():
        figures.dropped[reason] += max(0, total - figures.dropped_before.get(reason, 0))
        figures.dropped_before[reason] = total


def _best(probabilities: tuple[float, ...]) -> int:
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def _unix(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
