"""Reads many streams at once: with one command where one server has them all, slot by slot in a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from common.broker.client import Client, block_ms, call
from common.broker.clusternodes import ClusterClient, route
from common.errors import BrokerUnavailableError

Fields = dict[bytes, bytes]
Entries = list[tuple[str, Fields | None]]

CLUSTER_SLICE_S = 0.1  # how long one slot may be waited for while others could have something


@dataclass(slots=True)
class Found:
    """What one read gave.

    Attributes:
        entries: By stream key, of the streams that had some; the fields are None where only the id is left of an entry.
        lost: Streams that could not be read because their node does not answer while others do.
    """

    entries: dict[str, Entries] = field(default_factory=dict)
    lost: dict[str, BrokerUnavailableError] = field(default_factory=dict)


def read_streams(
    client: Client, blocking_client: Client, head: Sequence[Any], ids: Mapping[str, str], block_s: float
) -> dict[str, Entries]:
    """Read from every stream what comes after its id, as `read_present`, and leave none out.

    Raises:
        BrokerError: Any of them could not be read.
    """
    found = read_present(client, blocking_client, head, ids, block_s)
    for error in found.lost.values():
        raise error
    return found.entries


def read_present(
    client: Client, blocking_client: Client, head: Sequence[Any], ids: Mapping[str, str], block_s: float
) -> Found:
    """Read from every stream what comes after its id, waiting up to ``block_s`` seconds for the first entry.

    Args:
        client: Command client, used where nothing is waited for.
        blocking_client: Client made for waits at least this long.
        head: The command up to its count, e.g. ``("XREAD", "COUNT", 10)``; the count is per stream.
        ids: Stream key to the id after which to read.
        block_s: Longest wait, s; 0 takes what is there.

    Raises:
        BrokerError: The broker does not answer, or said no; of a cluster, where no node does.
    """
    if not ids:
        return Found()
    if not isinstance(client, ClusterClient):
        return Found(_read(client if block_s <= 0 else blocking_client, head, ids, block_s))
    found, slots = Found(), []
    for part in _by_slot(client, ids):
        if _take(found, client, head, part, 0):
            slots.append(part)
    deadline, turn = time.monotonic() + block_s, 0
    while not found.entries and (left_s := deadline - time.monotonic()) > 0:
        if not slots:
            threading.Event().wait(left_s)
            break
        wait_s = left_s if len(slots) == 1 else min(left_s, max(CLUSTER_SLICE_S / 4, CLUSTER_SLICE_S / len(slots)))
        part = slots[turn % len(slots)]
        if not _take(found, blocking_client, head, part, wait_s):
            slots.remove(part)
        turn += 1
    return found


def entries_of(raw: Sequence[Any] | None) -> Entries:
    """Bring the client library's list of entries into one form; an entry of which only the id is left has None."""
    return [(entry_id.decode(), fields or None) for entry_id, fields in raw or () if entry_id is not None]


def order_of(entry_id: str) -> tuple[int, int]:
    """Give what entry ids are ordered by; ``5`` means ``5-0``."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _take(found: Found, client: Client, head: Sequence[Any], part: Mapping[str, str], block_s: float) -> bool:
    try:
        found.entries |= _read(client, head, part, block_s)
    except BrokerUnavailableError as error:
        if not error.node:
            raise
        found.lost |= dict.fromkeys(part, error)
        return False
    return True


def _read(client: Client, head: Sequence[Any], ids: Mapping[str, str], block_s: float) -> dict[str, Entries]:
    wait_ms = block_ms(client, block_s)
    wait = () if wait_ms is None else ("BLOCK", wait_ms)
    reply = call(client, *head, *wait, "STREAMS", *ids, *ids.values(), **route(client, next(iter(ids))))
    streams = reply.items() if isinstance(reply, dict) else reply or ()
    return {key.decode(): entries_of(raw) for key, raw in streams}


def _by_slot(client: ClusterClient, ids: Mapping[str, str]) -> list[dict[str, str]]:
    slots: dict[int, dict[str, str]] = {}
    for key, entry_id in ids.items():
        slots.setdefault(int(cast(Any, client).keyslot(key)), {})[key] = entry_id
    return list(slots.values())
