"""The event log as subscribers read it: at their own pace, from any point, told when they were too slow."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.broker.client import Client, call, call_many
from common.broker.reading import order_of, read_present
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, ConfigError
from common.partition import SITE, Keys

BEGINNING = "0-0"
_ENTRY_ID = re.compile(r"\d{1,20}(-\d{1,20})?")


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as it stands in the log.

    Attributes:
        partition: Partition of its camera; `SITE` for events of the site as a whole.
        entry_id: Its place in the partition's log; the cursor after it.
        event: CloudEvents JSON.
        type: CloudEvents type.
        camera: Camera id; empty where the event is of no camera.
        id: CloudEvents id; subscribers drop repeats by it.
    """

    partition: int
    entry_id: str
    event: bytes
    type: str
    camera: str
    id: str


class EventLog:
    """Reads the event logs of all partitions and of the site (state endpoint); changes nothing there.

    The site's own log counts as one more partition, `SITE`.
    """

    def __init__(self, client: Client, blocking_client: Client, keys: Keys) -> None:
        """Use a command client, and a blocking one for waits."""
        self._client = client
        self._blocking = blocking_client
        self._keys = keys
        self._numbers = [*range(keys.partitions), SITE]

    def start_cursors(self, where: str) -> dict[int, str]:
        """Give the cursors to start from: ``0`` the oldest kept, ``now`` what comes next, else after this entry id.

        Raises:
            ConfigError: ``where`` is none of these.
        """
        if where == "now":
            lasts, lost = self._edges("XREVRANGE", ("+", "-"), self._numbers)
            for error in lost.values():
                raise error
            return {number: last or BEGINNING for number, last in lasts.items()}
        if not _ENTRY_ID.fullmatch(where):
            raise ConfigError(f"{where!r} is no place in the event log: give 0, now, or an entry id such as 1700-0")
        cursor = BEGINNING if where == "0" else where
        return dict.fromkeys(self._numbers, cursor)

    def read(self, cursors: Mapping[int, str], block_s: float, count: int) -> list[LoggedEvent]:
        """Read up to ``count`` events per partition behind the cursors, waiting up to ``block_s`` s for the first.

        Raises:
            BrokerError: Any of the logs could not be read.
        """
        events, lost = self.read_present(cursors, block_s, count)
        for error in lost.values():
            raise error
        return events

    def read_present(
        self, cursors: Mapping[int, str], block_s: float, count: int
    ) -> tuple[list[LoggedEvent], dict[int, BrokerUnavailableError]]:
        """Read as `read` does; besides, name the partitions whose node does not answer while others do, and why."""
        numbers = {self._keys.events(number): number for number in cursors}
        ids = {key: cursors[number] for key, number in numbers.items()}
        found = read_present(self._client, self._blocking, ("XREAD", "COUNT", count), ids, block_s)
        events = []
        for key, entries in found.entries.items():
            for entry_id, fields in entries:
                found_fields = fields or {}
                labels = [found_fields.get(name, b"").decode(errors="replace") for name in (b"type", b"camera", b"id")]
                events.append(LoggedEvent(numbers[key], entry_id, found_fields.get(b"event", b""), *labels))
        return events, {numbers[key]: error for key, error in found.lost.items()}

    def gaps(self, cursors: Mapping[int, str]) -> dict[int, str]:
        """Name the partitions whose log no longer reaches back to the cursor, with the oldest entry id left there."""
        firsts, lost = self._edges("XRANGE", ("-", "+"), cursors)
        for error in lost.values():
            raise error
        return {
            number: first
            for number, cursor in cursors.items()
            if (first := firsts[number]) and cursor != BEGINNING and order_of(first) > order_of(cursor)
        }

    def trimmed(self, partition: int) -> int | None:
        """Say how many of the oldest events of a partition are gone; None where the broker cannot or may not tell."""
        try:
            about = call(self._client, "XINFO STREAM", self._keys.events(partition))
        except BrokerRefusedError:
            return None
        return about["entries-added"] - about["length"] if "entries-added" in about else None

    def rewind(self, cursors: Mapping[int, str], overlap_s: float = 60.0) -> dict[int, str]:
        """Set back the cursors that lie beyond the log's end, as after a failover that lost the newest entries.

        A read from such a cursor would wait in silence until the log has caught up. Call it after each reconnect.

        Returns:
            The cursors to go on from; left out are partitions whose node does not answer while others do.
        """
        lasts, _ = self._edges("XREVRANGE", ("+", "-"), cursors)
        settled = {}
        for number, last in lasts.items():
            settled[number] = cursors[number]
            if order_of(settled[number]) > order_of(last or BEGINNING):
                settled[number] = f"{max(0, order_of(last or BEGINNING)[0] - round(1000 * overlap_s))}-0"
        return settled

    def _edges(
        self, command: str, span: tuple[str, str], numbers: Collection[int]
    ) -> tuple[dict[int, str | None], dict[int, BrokerUnavailableError]]:
        """Give the first or last entry id of each log, None where it is empty, and the logs that cannot be asked."""
        commands = [(command, self._keys.events(number), *span, "COUNT", 1) for number in numbers]
        edges: dict[int, str | None] = {}
        lost: dict[int, BrokerUnavailableError] = {}
        for number, answer in zip(numbers, call_many(self._client, commands) if commands else [], strict=True):
            if isinstance(answer, BrokerUnavailableError) and answer.node:
                lost[number] = answer
            elif isinstance(answer, BrokerError):
                raise answer
            else:
                edges[number] = answer[0][0].decode() if answer else None
        return edges, lost
