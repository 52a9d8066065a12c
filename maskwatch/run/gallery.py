"""The cameras of a run, annotated, in a browser page: fetches each shown frame, draws on it, hands it to the page."""

from __future__ import annotations

import queue
import threading
import time
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from common import jpeg
from common.broker.frames.peek import FramePeek
from common.errors import BrokerError, FrameRejectedError
from common.schema import FrameResult
from common.siteplan import SitePlan
from maskwatch.run.view import ViewServer
from workers.annotate import Mark, annotate

QUALITY = 75
MAX_FPS = 10.0
"""Pictures a second and camera; a page on a busy machine must not take time from the work it shows."""


class Gallery(Protocol):
    """Where results and events are shown, or not."""

    @property
    def url(self) -> str:
        """Where to look; empty where nothing is shown."""

    def show_result(self, result: FrameResult) -> None:
        """Show a frame with what was seen in it; returns at once."""

    def show_event(self, event: dict[str, Any]) -> None:
        """Show an event, a CloudEvent as read from JSON."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class NoGallery:
    """Shows nothing."""

    url = ""

    def show_result(self, result: FrameResult) -> None:
        """Pass over."""

    def show_event(self, event: dict[str, Any]) -> None:
        """Pass over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PageGallery:
    """Shows the newest frame of each camera in a page; a frame that is too old to be fetched is passed over."""

    def __init__(self, peek: FramePeek, plan: SitePlan, port: int) -> None:
        """Serve on ``port`` of the loopback address, 0 for a free one; raises `PortInUseError` where it is taken."""
        self._peek = peek
        self._names = {camera.id: camera.name or camera.id for camera in plan.cameras}
        self._server = ViewServer(port)
        self._waiting: queue.Queue[FrameResult | None] = queue.Queue(maxsize=32)
        self._next_at: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="gallery", daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def show_result(self, result: FrameResult) -> None:
        """Show a frame unless its camera was shown a moment ago or the drawing lags behind."""
        now = time.monotonic()
        if now < self._next_at.get(result.camera, 0.0) or self._waiting.full():
            return
        self._next_at[result.camera] = now + 1 / MAX_FPS
        self._waiting.put_nowait(result)

    def show_event(self, event: dict[str, Any]) -> None:
        """Show an event beside the pictures."""
        self._server.add_event(event)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while (result := self._waiting.get()) is not None:
            try:
                self._show(result)
            except (BrokerError, FrameRejectedError):
                continue  # a picture less on a page

    def _show(self, result: FrameResult) -> None:
        raw = self._peek.jpeg(result.camera, result.frame_id)
        if raw is None:
            return
        jpeg.inspect(raw)
        picture = jpeg.decode(raw)
        size = (picture.shape[1], picture.shape[0])
        marks = [Mark.of_reading(face, size) for face in result.faces]
        clock = datetime.fromtimestamp(result.captured_at, UTC).strftime("%H:%M:%S")
        drawn = annotate(picture, marks, self._names.get(result.camera, result.camera), clock)
        self._server.publish(result.camera, jpeg.encode(drawn, QUALITY))
