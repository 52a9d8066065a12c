"""How far judging has come in each partition, for those who only watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.broker.client import Client, call_many
from common.broker.lag import broker_now_ms
from common.broker.reading import entries_of, order_of
from common.errors import BrokerError, of_one_node
from common.partition import Keys


def unjudged_s(client: Client, keys: Keys) -> dict[int, float]:
    """Say for each partition how old its oldest result is that was not judged yet, s; 0 where all are.

    Partitions of a cluster's node that does not answer while others do are left out.

    Raises:
        BrokerError: The broker does not answer, or our user may not ask.
    """
    now_ms = broker_now_ms(client)
    offsets = _present(client, {number: ("HGET", keys.state(number), "offset") for number in range(keys.partitions)})
    after = {number: offset.decode() if offset else "0-0" for number, offset in offsets.items()}
    commands = {
        number: ("XRANGE", keys.results(number), f"({offset}", "+", "COUNT", 1) for number, offset in after.items()
    }
    waiting = {number: entries_of(answer) for number, answer in _present(client, commands).items()}
    return {
        number: max(0.0, (now_ms - order_of(entries[0][0])[0]) / 1000) if entries else 0.0
        for number, entries in waiting.items()
    }


def _present(client: Client, commands: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
    found = {}
    for number, answer in zip(commands, call_many(client, list(commands.values())), strict=True):
        if not isinstance(answer, BrokerError):
            found[number] = answer
        elif not of_one_node(answer):
            raise answer
    return found
