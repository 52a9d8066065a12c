"""``maskwatch events readers | forget``: under which names the broker remembers places in the event log."""

from __future__ import annotations

import json
import time

from common.advice import nearest
from common.broker.events.cursors import CursorStore
from common.broker.reading import order_of
from common.errors import ConfigError
from maskwatch.connection import desk


def list_readers(*, as_json: bool) -> None:
    """Print each name, when its place was stored last, and whether events lie behind that place."""
    state = desk()
    store, ends = CursorStore(state.client, state.keys), state.events.start_cursors("now")
    rows: list[tuple[str, int, int]] = []
    for name, stored_at in sorted(store.names().items()):
        held = store.load(name)
        unread = [number for number, end in ends.items() if order_of(held.get(number, "0-0")) < order_of(end)]
        rows.append((name, stored_at, len(unread)))
    if as_json:
        keys = ("name", "stored_at", "partitions_with_unread")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return
    for name, stored_at, unread_in in rows:
        words = f"unread events in {unread_in} of {len(ends)} partitions" if unread_in else "all is read"
        print(f"{name:24} stored {max(0, round(time.time()) - stored_at)} s ago   {words}")
    if not rows:
        print("nobody's place is remembered")


def forget_reader(name: str) -> None:
    """Forget a name's place; its next reader begins where it asks to.

    Raises:
        ConfigError: No place is remembered under this name; nothing was changed.
    """
    state = desk()
    store = CursorStore(state.client, state.keys)
    if not store.forget(name):
        raise ConfigError(f"no place is remembered under '{name}'{nearest(name, store.names())}")
    print(f"forgotten: {name}")
