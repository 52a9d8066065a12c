"""Log lines as an event name plus fields, as text for people or JSON for machines, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

_FIELDS = "maskwatch_fields"


class Log:
    """A named logger: ``log.info("camera_connected", camera="gate-1", attempt=3)``.

    Fields must be numbers, short text or lists of them; never pixels, never secrets.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"maskwatch.{name}")

    def debug(self, event: str, **fields: Any) -> None:
        """Say something only a developer wants to know."""
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Say that something expected happened."""
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say that something needs an eye, while work goes on."""
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Say that something failed that somebody must mend."""
        self._emit(logging.ERROR, event, fields)

    def _emit(self, level: int, event: str, fields: dict[str, Any]) -> None:
        self._logger.log(level, event, extra={_FIELDS: fields})


class OncePer:
    """Lets one line a second through for each reason, and says how many were held back.

    Thread-safe. ``clock`` gives monotonic seconds.
    """

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def permit(self, reason: str) -> int | None:
        """Ask for a line: None to stay silent, else how many lines of this reason were held back before it."""
        now = self._clock()
        with self._lock:
            if now - self._last.get(reason, -1e9) < self._seconds:
                self._held[reason] = self._held.get(reason, 0) + 1
                return None
            self._last[reason] = now
            return self._held.pop(reason, 0)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        pairs = " ".join(f"{name}={value}" for name, value in fields.items())
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        scope = record.name.removeprefix("maskwatch.")
        return f"{moment} {record.levelname.lower():7} {scope:10} {record.getMessage()} {pairs}".rstrip()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str = "info", style: str = "text") -> None:
    """Send the log lines of this process to standard error; called once, by a command.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    root = logging.getLogger("maskwatch")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())
