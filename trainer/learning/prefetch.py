"""Batches are prepared in a thread while the network computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from torch import Tensor

Batch = tuple[Tensor, ...]


def prefetch(make: Iterator[Batch], depth: int = 4) -> Iterator[Batch]:
    """Prepare batches in a thread while the network computes; an error in the thread is raised here."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    closed = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in make:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 (carried over to the reader, which raises it)
            put(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
