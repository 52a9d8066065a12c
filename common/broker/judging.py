"""How far judging has come in each partition, for those who only watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.broker.client import Client, call_many
from common.broker.lag import broker_now_ms
from common.broker.reading import entries_of, order_of
from common.errors import BrokerError
from common.partition import Keys


def unjudged_s(client: Client, keys: Keys) -> dict[int, float]:
    """Say for each partition how old its oldest result is that was not judged yet, s; 0 where all are.

    Raises:
        BrokerError: The broker does not answer, or our user may not ask.
    """
    numbers = range(keys.partitions)
    now_ms = broker_now_ms(client)
    offsets = _all(client, [("HGET", keys.state(number), "offset") for number in numbers])
    after = [offset.decode() if offset else "0-0" for offset in offsets]
    commands = [
        ("XRANGE", keys.results(number), f"({offset}", "+", "COUNT", 1)
        for number, offset in zip(numbers, after, strict=True)
    ]
    waiting = [entries_of(answer) for answer in _all(client, commands)]
    return {
        number: max(0.0, (now_ms - order_of(entries[0][0])[0]) / 1000) if entries else 0.0
        for number, entries in zip(numbers, waiting, strict=True)
    }


def _all(client: Client, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    answers = list(call_many(client, commands))
    for answer in answers:
        if isinstance(answer, BrokerError):
            raise answer
    return answers
