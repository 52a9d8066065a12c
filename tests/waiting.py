"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Found = TypeVar("Found")


def until(predicate: Callable[[], Found], timeout_s: float) -> Found:
    """Ask ``predicate`` until its answer is true, and give that answer.

    Raises:
        AssertionError: It was not true within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s; last answer: {found!r}"
        threading.Event().wait(0.01)
    return found


@contextmanager
def soon(action: Callable[[], object], delay_s: float = 0.1) -> Iterator[None]:
    """Do something in another thread while the block runs, and leave it only when that is done."""
    timer = threading.Timer(delay_s, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()
