"""Finds one violation event by its id or its episode, newest first, without an index of its own.

The broker looks through a few thousand entries at a time and sends back only the one that was meant, so that no bodies
travel, and no other client waits for longer than one such look. See docs/adr/0033.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from common.broker.client import Client
from common.broker.scripts import ReadingScript
from common.errors import FeedbackRefusedError
from common.events import timestamp
from common.partition import Keys

LOOK_ENTRIES = 250  # about 1 ms, for which everybody else waits
LONGEST_S = 20.0

_LOOK = ReadingScript("""#!lua flags=no-writes
local found = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
local wanted, size = ARGV[3], #ARGV[3]
local subject, spaced = '"subject":"' .. wanted, '"subject": "' .. wanted
for index, entry in ipairs(found) do
  local event, id = '', ''
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'event' then event = entry[2][at + 1] end
    if entry[2][at] == 'id' then id = entry[2][at + 1] end
  end
  local mine = string.sub(id, 1, size) == wanted
  if mine or string.find(event, subject, 1, true) or string.find(event, spaced, 1, true) then
    return {index, entry[1], event}
  end
end
return {#found, #found > 0 and found[#found][1] or '', false}
""")


@dataclass(slots=True)
class _Trail:
    """How far the search has come in one partition."""

    partition: int
    before: str = "+"
    looked: int = 0
    oldest: str = ""


class EventSearch:
    """Looks events up in the logs of all partitions (state endpoint); changes nothing there."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client."""
        self._client = client
        self._keys = keys

    def find(self, wanted: str, camera: str = "") -> dict[str, Any]:
        """Give the newest violation event whose id, or whose episode, begins with ``wanted``.

        Where that message says that the mask is on again, the one before it is given, which told of the violation.

        Args:
            wanted: At least 8 characters of an id, lower case.
            camera: Camera id; empty looks everywhere, every partition in turn.

        Returns:
            The parsed CloudEvent.

        Raises:
            FeedbackRefusedError: There is none; the message says how far back was looked.
        """
        deadline = time.monotonic() + LONGEST_S
        numbers = [self._keys.partition_of(camera)] if camera else range(self._keys.partitions)
        trails = [_Trail(number) for number in numbers]
        living = list(trails)
        while living:
            for trail in list(living):
                if time.monotonic() > deadline:
                    raise FeedbackRefusedError(
                        "busy", f"the event log was searched for {LONGEST_S:.0f} s without an end; give the camera"
                    )
                found = self._look(trail, wanted)
                if found is not None:
                    return self._checked(found, trail, camera)
                if trail.before == "":
                    living.remove(trail)
        raise FeedbackRefusedError("unknown_event", self._nowhere(wanted, camera, trails))

    def _look(self, trail: _Trail, wanted: str) -> dict[str, Any] | None:
        key = self._keys.events(trail.partition)
        looked, entry_id, event = _LOOK.run(self._client, [key], [trail.before, LOOK_ENTRIES, wanted])
        trail.looked += looked
        trail.oldest = entry_id.decode() or trail.oldest
        trail.before = f"({trail.oldest}" if event is not None or looked == LOOK_ENTRIES else ""
        if event is None:
            return None
        try:
            parsed = json.loads(event)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise FeedbackRefusedError("not_a_violation", "that entry of the event log holds no event")
        return parsed

    def _checked(self, event: dict[str, Any], trail: _Trail, camera: str) -> dict[str, Any]:
        own = str(event.get("partitionkey", ""))
        if camera and own != camera:
            raise FeedbackRefusedError("camera", f"that event is of camera '{own}', not of '{camera}'")
        data = event.get("data")
        calm = isinstance(data, dict) and data.get("verdict") in ("mask", "undetermined")
        while calm and str(event.get("type", "")).startswith("maskwatch.violation.") and trail.before:
            before = self._look(trail, str(event["subject"]))
            if before is not None:
                return self._checked(before, trail, camera)
        return event

    def _nowhere(self, wanted: str, camera: str, trails: list[_Trail]) -> str:
        looked = sum(trail.looked for trail in trails)
        place = f"of camera '{camera}' and its neighbours in the log" if camera else "of all cameras"
        if not looked:
            return f"no event {wanted!r}: no event {place} is kept under the prefix '{self._keys.prefix}'"
        oldest_ms = max(int(trail.oldest.partition("-")[0]) for trail in trails if trail.oldest)
        return (
            f"no event or episode {wanted!r} among the {looked} events {place} that are kept, back to "
            f"{timestamp(oldest_ms / 1000)}; an older one may have been trimmed"
        )
