"""Tells the broker what is still in hand, so that nobody takes it over, for as long as work really moves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from common.broker.frames.entries import FrameEntry
from common.errors import BrokerError
from common.log import Log
from workers.infer.holdings import Holdings
from workers.infer.progress import Progress

EXIT_STALLED = 70
_log = Log("infer")


def end_process(trouble: str) -> None:
    """End this process at once: a thread that hangs in a device cannot be ended in any other way."""
    _log.error("stalled", trouble=trouble, exit_status=EXIT_STALLED)
    os._exit(EXIT_STALLED)


class Keeper:
    """A thread that sends the keepalive; a context manager.

    Args:
        touch: Restarts the idle time of entries (``FrameReader.keepalive``).
        holdings: What is in hand.
        progress: Whether work moves.
        every_s: Time between two keepalives, s.
        stall_s: Time without progress, s, after which no keepalive is sent any more and the process ends.
        on_stall: What ends it.
    """

    def __init__(
        self,
        touch: Callable[[Iterable[FrameEntry]], None],
        holdings: Holdings,
        progress: Progress,
        every_s: float,
        stall_s: float,
        *,
        on_stall: Callable[[str], None] = end_process,
    ) -> None:
        self._touch = touch
        self._holdings = holdings
        self._progress = progress
        self._every_s = every_s
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            trouble = self._progress.stalled(time.monotonic(), self._stall_s)
            if trouble:
                self._on_stall(trouble)
                return
            held = self._holdings.entries()
            try:
                if held:
                    self._touch(held)
            except BrokerError as error:
                _log.debug("keepalive_failed", code=error.code)
