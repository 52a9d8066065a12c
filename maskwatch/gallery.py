"""The cameras of a run, annotated, in a browser page: fetches each shown frame, draws on it, hands it to the page."""

from __future__ import annotations

import queue
import threading
from typing import Any, Protocol, Self

from common import jpeg
from common.broker.client import connect
from common.broker.peek import FramePeek
from common.errors import BrokerError, FrameRejectedError
from common.schema import FrameResult
from common.siteplan import SitePlan

SHOWN_WIDTH_PX = 960


class Gallery(Protocol):
    """Where results and events are shown, or not."""

    url: str

    def show_result(self, result: FrameResult) -> None:
        """Show a frame with what was seen in it; must return at once."""

    def show_event(self, event: dict[str, Any]) -> None:
        """Show an event."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class _NoGallery:
    url = ""

    def show_result(self, result: FrameResult) -> None:
        pass

    def show_event(self, event: dict[str, Any]) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def no_gallery() -> Gallery:
    """Give a gallery that shows nothing."""
    return _NoGallery()
