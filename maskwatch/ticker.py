"""How far a long job is: a bar in a terminal, a line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class Ticker:
    """Tells done, rate and time left. A context manager.

    Args:
        words: What is done, such as ``pictures``.
        total: How many there are.
    """

    def __init__(self, words: str, total: int) -> None:
        self._words, self._total, self._done = words, total, 0
        self._began = self._told = time.monotonic()
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._task = self._progress.add_task(words, total=total, rate=0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """Note that ``count`` more are done."""
        self._done += count
        now = time.monotonic()
        rate = self._done / max(1e-9, now - self._began)
        self._progress.update(self._task, advance=count, rate=rate)
        if not self._console.is_terminal and now - self._told >= LINE_EVERY_S:
            self._told = now
            left_s = (self._total - self._done) / max(1e-9, rate)
            line = f"{self._words}: {self._done} of {self._total}, {rate:.1f}/s, {left_s:.0f} s left"
            print(line, file=sys.stderr, flush=True)
