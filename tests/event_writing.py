"""Writes events into the log as the judge does, one camera at a time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from common.broker.client import Client, call
from common.events import VIOLATION_TYPES
from common.partition import Keys

STARTED = VIOLATION_TYPES["started"]
STATUS = "maskwatch.camera.status.v1"


class EventWriter:
    """Appends CloudEvents; ids are random, sequences are contiguous per camera."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._count: dict[str, int] = {}

    def write(self, camera: str, count: int = 1, kind: str = STARTED, severity: str = "alert") -> list[str]:
        """Append events of a camera and give their ids."""
        made = [self._event(camera, kind, severity) for _ in range(count)]
        for event in made:
            self.append(camera, event)
        return [event["id"] for event in made]

    def append(self, camera: str, event: dict[str, Any], *, maxlen: int | None = None) -> str:
        """Append one event, keeping exactly ``maxlen`` in its partition if that is given; gives the entry id."""
        trimming: Sequence[str | int] = () if maxlen is None else ("MAXLEN", "=", maxlen)
        key = self._keys.events(self._keys.partition_of(camera))
        fields = ("event", json.dumps(event), "type", event["type"], "camera", camera, "id", event["id"])
        return str(call(self._client, "XADD", key, *trimming, "*", *fields).decode())

    def _event(self, camera: str, kind: str, severity: str) -> dict[str, Any]:
        number = self._count[camera] = self._count.get(camera, 0) + 1
        data = {"state": "online", "cause": ""} if kind == STATUS else {"severity": severity, "verdict": "no_mask"}
        return {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": f"/sites/west/cameras/{camera}",
            "type": kind,
            "subject": camera,
            "time": "2026-01-01T00:00:00.000Z",
            "partitionkey": camera,
            "sequence": f"{number:012d}",
            "data": data,
        }
