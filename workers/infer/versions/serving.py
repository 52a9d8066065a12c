"""Which networks serve: taken once a batch, exchanged between two, and let go after their last batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.models.versionref import VersionRef
from workers.infer.outcomes import Signature
from workers.infer.vision.pipeline import FacePipeline

LONGEST_BATCH_S = 120.0
"""How long the old networks are waited for; a device that hangs for longer takes its process with it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a worker should serve, or does.

    Attributes:
        generation: The pointer's generation behind it.
        detector: None: the folder of the settings, else the one that ships.
        classifier: As ``detector``.
        stage: ``canary`` where it is a candidate on trial.
    """

    generation: int = 0
    detector: VersionRef | None = None
    classifier: VersionRef | None = None
    stage: Literal["serving", "canary"] = "serving"

    @property
    def refs(self) -> tuple[VersionRef, ...]:
        """The versions that are named, detector first."""
        return tuple(ref for ref in (self.detector, self.classifier) if ref is not None)

    def same_networks(self, other: Choice) -> bool:
        """Say whether both name the same versions."""
        return (self.detector, self.classifier) == (other.detector, other.classifier)


@dataclass(frozen=True, slots=True)
class Served:
    """Networks that are ready, and the name under which they speak.

    Attributes:
        pipeline: Its backend is closed once nobody uses it any more.
        signature: Stamped into every result they make.
        choice: What they were chosen as.
    """

    pipeline: FacePipeline
    signature: Signature
    choice: Choice

    @property
    def folders(self) -> tuple[Path, Path]:
        """The folders of detector and classifier."""
        return self.pipeline.detector.directory, self.pipeline.classifier.directory


class Serving:
    """Holds what serves. Thread-safe: batches take it, one other thread exchanges it.

    Args:
        first: What serves from the start.
    """

    def __init__(self, first: Served) -> None:
        self._changed = threading.Condition()
        self._current = first
        self._users: dict[int, int] = {}

    @property
    def current(self) -> Served:
        """What the next batch will be looked at with."""
        with self._changed:
            return self._current

    @contextmanager
    def batch(self) -> Iterator[Served]:
        """Give the networks for one whole batch; they stay open until it is done, whatever is swapped meanwhile."""
        with self._changed:
            served = self._current
            self._users[id(served.pipeline)] = self._users.get(id(served.pipeline), 0) + 1
        try:
            yield served
        finally:
            with self._changed:
                self._users[id(served.pipeline)] -= 1
                self._changed.notify_all()

    def swap(self, new: Served) -> None:
        """Serve ``new`` from the next batch on, and close the old networks after their last one."""
        with self._changed:
            old, self._current = self._current, new
            if old.pipeline is new.pipeline:
                return
            free = self._changed.wait_for(lambda: not self._users.get(id(old.pipeline)), LONGEST_BATCH_S)
            self._users.pop(id(old.pipeline), None)
        if free:
            old.pipeline.backend.close()

    def close(self) -> None:
        """Close what serves; no batch may be under way."""
        self.current.pipeline.backend.close()
