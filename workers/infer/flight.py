"""One piece of work on its way in a thread of its own, while the loop prepares the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class Flight(Generic[R]):
    """Runs ``work`` in a daemon thread: a device that hangs must not keep the process from ending."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._work = work
        self._landed = threading.Event()
        self._answer: list[R] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="flight", daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds; True when the work is done."""
        return self._landed.wait(timeout_s)

    def result(self) -> R:
        """Give the answer of landed work.

        Raises:
            BaseException: Whatever the work raised.
        """
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asks for the result
            self._error = error
        finally:
            self._landed.set()
