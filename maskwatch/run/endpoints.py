"""The two broker endpoints of a run on this machine: those that the environment names, else embedded ones."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from common.broker.embedded.brokers import EmbeddedBroker
from common.lifecycle import StopSignal
from common.settings import ServiceSettings, load


class Endpoints:
    """Frames and state broker of a run; a context manager that ends the embedded ones with it.

    Attributes:
        settings: How every process of the run reaches its brokers.

    Args:
        folder: Where embedded brokers keep their log, and the state broker its append-only file.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = load(ServiceSettings)
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            frames = self._endpoint("frames", persist=False)
            state = self._endpoint("state", persist=True)
        except BaseException:
            self._stack.close()
            raise
        self.settings = load(ServiceSettings, frames_url=frames, state_url=state)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def variables(self) -> dict[str, str]:
        """Give the variables that point a child process at the same brokers; they hold passwords."""
        return {"MASKWATCH_FRAMES_URL": self.settings.frames_url, "MASKWATCH_STATE_URL": self.settings.state_url}

    def _endpoint(self, name: str, *, persist: bool) -> str:
        if f"{name}_url" in self.settings.model_fields_set:
            return str(getattr(self.settings, f"{name}_url"))
        broker = self._stack.enter_context(EmbeddedBroker(self._folder, persist=persist, name=name))
        stop = StopSignal()
        thread = threading.Thread(target=broker.watch, args=(stop,), name=f"{name}-watch", daemon=True)
        self._stack.callback(stop.set)
        thread.start()
        return broker.url
