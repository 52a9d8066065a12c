"""Reads a source in a thread of its own, so that a source that hangs is left behind instead of waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from common.errors import FrameRejectedError, NotAVideoError
from producers.ledger import Drop
from producers.sources.source import ArrivingSource, FrameSource, SourceFrame

_BROKEN_IN_A_ROW = 50
_BREATH_S = 0.02


class Capture:
    """One opening of a source, up to its end, its failure, or `abandon`.

    A live source is read without pause and its newest picture wins; any other waits until its picture was taken.

    Args:
        opener: Opens the source; called in the thread.
        name: Name for the thread.
        share: Let go of a source, once it has given a picture and its further ones can be read together with others'.
    """

    def __init__(self, opener: Callable[[], FrameSource], name: str, *, share: bool = False) -> None:
        self._opener = opener
        self._share = share
        self._shared: ArrivingSource | None = None
        self._change = threading.Condition()
        self._slot: SourceFrame | None = None
        self._error: BaseException | None = None
        self._lost: dict[Drop, int] = {}
        self._left = threading.Event()
        self.live = True
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> SourceFrame | None:
        """Wait for a picture, at most ``timeout_s`` seconds; None where none came.

        Raises:
            SourceError: What ended the source, after its last picture was given.
        """
        with self._change:
            self._change.wait_for(lambda: self._slot or self._error or self._shared, timeout_s)
            frame, self._slot = self._slot, None
            self._change.notify_all()
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def take_shared(self) -> ArrivingSource | None:
        """Give, once and after its last picture, the source that the thread let go; it is the caller's to close."""
        with self._change:
            if self._slot is not None or self._left.is_set():
                return None
            source, self._shared = self._shared, None
            return source

    def take_lost(self) -> dict[Drop, int]:
        """Give, once, how many pictures were replaced by newer ones or broken since the last call."""
        with self._change:
            lost, self._lost = self._lost, {}
            return lost

    def abandon(self) -> None:
        """Ask the thread to close the source and end, as soon as the source lets it; an unread picture is lost."""
        with self._change:
            self._left.set()
            if self._slot is not None:
                self._slot = None
                self._lose(Drop.STOPPED)
            unwanted, self._shared = self._shared, None
            self._change.notify_all()
        if unwanted is not None:
            unwanted.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; True where it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            source = self._opener()
            let_go = False
            try:
                self.live = source.live
                let_go = self._follow(source)
            finally:
                if not let_go:
                    source.close()
        except Exception as error:  # noqa: BLE001 - whatever ends a source is told to its camera, which goes on
            with self._change:
                self._error = error
                self._change.notify_all()

    def _follow(self, source: FrameSource) -> bool:
        """Read a source until nobody wants it any more; True where it was let go to be read otherwise."""
        broken = 0
        while not self._left.is_set():
            try:
                frame = source.read()
            except FrameRejectedError as error:
                broken += 1
                with self._change:
                    self._lose(Drop.BROKEN)
                if broken >= _BROKEN_IN_A_ROW:
                    raise NotAVideoError(f"source: nothing but broken pictures: {error}") from error
                self._left.wait(_BREATH_S)
                continue
            if frame is not None:
                broken = 0
                self._put(frame)
                frame = None  # megabytes, and the next one is made before this name is free
                if self._share and isinstance(source, ArrivingSource) and source.shareable:
                    return self._let_go(source)
        return False

    def _let_go(self, source: ArrivingSource) -> bool:
        with self._change:
            if self._left.is_set():
                return False
            self._shared = source
            self._change.notify_all()
            return True

    def _put(self, frame: SourceFrame) -> None:
        with self._change:
            if not self.live:
                self._change.wait_for(lambda: self._slot is None or self._left.is_set())
            if self._left.is_set():
                return
            if self._slot is not None:
                self._lose(Drop.BUSY)
            self._slot = frame
            self._change.notify_all()

    def _lose(self, reason: Drop) -> None:
        self._lost[reason] = self._lost.get(reason, 0) + 1
