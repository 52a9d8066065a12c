"""Reads many streams at once: with one command where one server has them all, slot by slot in a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis.cluster import RedisCluster

from common.broker.client import Client, block_ms, call
from common.broker.scripts import route

Fields = dict[bytes, bytes]
Entries = list[tuple[str, Fields | None]]

CLUSTER_SLICE_S = 0.1  # how long one slot may be waited for while others could have something


def read_streams(
    client: Client, blocking_client: Client, head: Sequence[Any], ids: Mapping[str, str], block_s: float
) -> dict[str, Entries]:
    """Read from every stream what comes after its id, waiting up to ``block_s`` seconds for the first entry.

    Args:
        client: Command client, used where nothing is waited for.
        blocking_client: Client made for waits at least this long.
        head: The command up to its count, e.g. ``("XREAD", "COUNT", 10)``; the count is per stream.
        ids: Stream key to the id after which to read.
        block_s: Longest wait, s; 0 takes what is there.

    Returns:
        Entries of the streams that had some; the fields are None where only the id is left of an entry.
    """
    if not ids:
        return {}
    if not isinstance(client, RedisCluster):
        return _read(client if block_s <= 0 else blocking_client, head, ids, block_s)
    slots = _by_slot(client, ids)
    found: dict[str, Entries] = {}
    for part in slots:
        found |= _read(client, head, part, 0)
    deadline = time.monotonic() + block_s
    turn = 0
    while not found and (left_s := deadline - time.monotonic()) > 0:
        wait_s = left_s if len(slots) == 1 else min(left_s, max(CLUSTER_SLICE_S / 4, CLUSTER_SLICE_S / len(slots)))
        found = _read(blocking_client, head, slots[turn % len(slots)], wait_s)
        turn += 1
    return found


def entries_of(raw: Sequence[Any] | None) -> Entries:
    """Bring the client library's list of entries into one form; an entry of which only the id is left has None."""
    return [(entry_id.decode(), fields or None) for entry_id, fields in raw or () if entry_id is not None]


def order_of(entry_id: str) -> tuple[int, int]:
    """Give what entry ids are ordered by; ``5`` means ``5-0``."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _read(client: Client, head: Sequence[Any], ids: Mapping[str, str], block_s: float) -> dict[str, Entries]:
    wait_ms = block_ms(client, block_s)
    wait = () if wait_ms is None else ("BLOCK", wait_ms)
    reply = call(client, *head, *wait, "STREAMS", *ids, *ids.values(), **route(client, next(iter(ids))))
    streams = reply.items() if isinstance(reply, dict) else reply or ()
    return {key.decode(): entries_of(raw) for key, raw in streams}


def _by_slot(client: RedisCluster, ids: Mapping[str, str]) -> list[dict[str, str]]:
    slots: dict[int, dict[str, str]] = {}
    for key, entry_id in ids.items():
        slots.setdefault(int(cast(Any, client).keyslot(key)), {})[key] = entry_id
    return list(slots.values())
