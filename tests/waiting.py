"""Waiting for a condition with a deadline, so that no test sleeps for a guessed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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
