"""Looks at everything that a broker holds, for checks by an operator; reads in small pieces and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from common.broker.client import Client, call
from common.broker.clusternodes import ClusterClient
from common.errors import BrokerRefusedError

PAGE = 500
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 4096


def scan_keys(client: Client, pattern: str) -> Iterator[str]:
    """List the keys that match a glob pattern, each at least once; a pattern's own ``{`` needs no escape."""
    for node in _nodes(client):
        cursor: Any = 0
        while True:
            reply = call(client, "SCAN", cursor, "MATCH", pattern, "COUNT", PAGE, **node)
            cursor, names = next(iter(reply.values())) if isinstance(reply, dict) else reply
            yield from (name.decode(errors="replace") for name in names)
            if int(cursor) == 0:
                break


def values_of(client: Client, key: str) -> Iterator[bytes]:
    """Give every value under a key, field names left out; long strings come in overlapping pieces.

    Raises:
        BrokerRefusedError: Our user may not read it.
    """
    kind = call(client, "TYPE", key)
    kind = kind.decode() if isinstance(kind, bytes) else kind
    if kind == "string":
        yield from _string(client, key)
    elif kind == "stream":
        yield from _stream(client, key)
    elif kind == "hash":
        yield from (value for _, value in _pairs(_scanned(client, "HSCAN", key)))
    elif kind == "set":
        yield from _scanned(client, "SSCAN", key)
    elif kind == "zset":
        yield from _scanned(client, "ZSCAN", key)
    elif kind == "list":
        yield from call(client, "LRANGE", key, 0, -1)


def settings_of(client: Client, *names: str) -> list[Mapping[str, str | None]]:
    """Read server settings, one mapping for each node; a value is None where our user may not ask."""
    return [{name: _setting(client, name, node) for name in names} for node in _nodes(client)]


def left_ms(client: Client, key: str) -> int:
    """Say how long a key lives on, ms; -1 for ever, -2 where it is gone."""
    return int(call(client, "PTTL", key))


def oldest_entry_ms(client: Client, stream: str) -> int | None:
    """Say when the oldest entry of a stream was written, Unix ms by the broker's clock; None for an empty one."""
    found = call(client, "XRANGE", stream, "-", "+", "COUNT", 1)
    return int(found[0][0].decode().partition("-")[0]) if found else None


def _string(client: Client, key: str) -> Iterator[bytes]:
    length, start = int(call(client, "STRLEN", key)), 0
    while start < length:
        yield call(client, "GETRANGE", key, start, start + _CHUNK_BYTES + _OVERLAP_BYTES - 1)
        start += _CHUNK_BYTES


def _stream(client: Client, key: str) -> Iterator[bytes]:
    start = "-"
    while True:
        entries = call(client, "XRANGE", key, start, "+", "COUNT", PAGE)
        for entry_id, fields in entries:
            start = f"({entry_id.decode()}"
            yield from dict(fields or {}).values()
        if len(entries) < PAGE:
            return


def _scanned(client: Client, command: str, key: str) -> Iterator[bytes]:
    cursor: Any = 0
    while True:
        cursor, found = call(client, command, key, cursor, "COUNT", PAGE)
        items = found.items() if isinstance(found, dict) else found
        for item in items:
            yield from (_bytes(part) for part in (item if isinstance(item, tuple | list) else (item,)))
        if int(cursor) == 0:
            return


def _pairs(flat: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat, flat, strict=True)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _setting(client: Client, name: str, node: dict[str, Any]) -> str | None:
    try:
        reply = call(client, "CONFIG GET", name, **node)
    except BrokerRefusedError:
        return None
    flat = [part for pair in reply.items() for part in pair] if isinstance(reply, dict) else reply
    found = {_text(key): _text(value) for key, value in zip(flat[::2], flat[1::2], strict=True)}
    return found.get(name)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nodes(client: Client) -> list[dict[str, Any]]:
    if isinstance(client, ClusterClient):
        return [{"target_nodes": node} for node in cast(Any, client).get_primaries()]
    return [{}]
