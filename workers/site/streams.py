"""Reads what the site stage lives on, all streams as one: a complete stretch of time, in order."""

from __future__ import annotations

from collections.abc import Mapping

from common.broker.client import Client
from common.broker.lag import broker_now_ms
from common.broker.reading import order_of, read_streams
from common.partition import SITE, Keys
from workers.site.engine import EVENTS, NEWS, TALLIES, Entry

BEGINNING = "0-0"
LOOK_BACK_MS = 3_600_000
"""How old events may be that the very first site stage of an installation takes into account, ms."""


class SiteStreams:
    """The event logs and tallies of all partitions, and the inbox (state endpoint).

    Args:
        client: Command client.
        keys: Names of the installation's keys.
        count: Most entries of one stream in one read.
    """

    def __init__(self, client: Client, keys: Keys, count: int) -> None:
        self._client = client
        self._count = count
        numbers = range(keys.partitions)
        self._keys = {f"{EVENTS} {number}": keys.events(number) for number in numbers}
        self._keys |= {f"{TALLIES} {number}": keys.tallies(number) for number in numbers}
        self._keys[NEWS] = keys.results(SITE)
        self._names = {key: name for name, key in self._keys.items()}

    def first_cursors(self) -> dict[str, str]:
        """Give the cursors of an installation's very first site stage: nobody is told of what is long over."""
        since = f"{broker_now_ms(self._client) - LOOK_BACK_MS}-0"
        return {name: since if name.startswith(EVENTS) else BEGINNING for name in self._keys}

    def now_ms(self) -> int:
        """Read the clock by which entries are timed, ms."""
        return broker_now_ms(self._client)

    def read(self, cursors: Mapping[str, str]) -> tuple[list[Entry], int]:
        """Read on behind the cursors, without waiting.

        Returns:
            Entries in the order in which they were written, and the time, ms, before which none is missing. Where a
            stream had more than a read takes, that is only as far as this stream was read. On one server no entry can
            turn up later that lies before that time; in a cluster it may, by as much as its clocks differ.
        """
        now_ms = broker_now_ms(self._client)
        ids = {key: cursors.get(name, BEGINNING) for name, key in self._keys.items()}
        count = self._count
        while True:
            found = read_streams(self._client, self._client, ("XREAD", "COUNT", count), ids, 0)
            cut = [order_of(read[-1][0])[0] for read in found.values() if len(read) >= count]
            limit_ms = min([now_ms, *cut])
            entries = [
                Entry(*moment, self._names[key], fields or {})
                for key, read in found.items()
                for entry_id, fields in read
                if (moment := order_of(entry_id))[0] < limit_ms
            ]
            if entries or not cut:
                return sorted(entries, key=lambda entry: entry[:3]), limit_ms
            count *= 2  # more entries of one ms than a read takes
