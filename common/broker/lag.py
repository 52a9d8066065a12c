"""How far reading is behind writing, in time; counts of entries mislead where streams are trimmed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from common.broker.client import Client, call, call_many
from common.broker.clusternodes import ClusterClient, by_node, route
from common.broker.frames.entries import GROUP
from common.broker.reading import order_of
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError


def broker_now_ms(client: Client, key: str = "") -> int:
    """Read the broker's clock, ms, by which entry ids are made.

    In a cluster it is that of the node of ``key``, or else of the first node that answers.
    """
    reply = call(client, "TIME", **(route(client, key) if key else {}))
    seconds, micros = next(iter(reply.values())) if isinstance(reply, dict) else reply
    return int(seconds) * 1000 + int(micros) // 1000


def clocks_ms(client: Client, keys: Collection[str]) -> dict[str, int]:
    """Read for each key the clock, ms, of the node that holds it; left out are those whose node does not answer.

    Raises:
        BrokerError: The broker does not answer; of a cluster, no node does.
    """
    if not isinstance(client, ClusterClient):
        return dict.fromkeys(keys, broker_now_ms(client)) if keys else {}
    clocks: dict[str, int] = {}
    for of_node in by_node(client, keys).values():
        try:
            clocks |= dict.fromkeys(of_node, broker_now_ms(client, of_node[0]))
        except BrokerUnavailableError as error:
            if not error.node:
                raise
    return clocks


def lags(client: Client, streams: Mapping[str, str]) -> dict[str, float]:
    """Say how many seconds the group is behind on each stream.

    Args:
        client: Command client.
        streams: Stream key to the camera's name.

    Returns:
        Camera to the seconds since its last frame that was handed out, where newer ones wait; 0 where none waits;
        NaN where the broker cannot tell or our user may not ask.
    """
    if not streams:
        return {}
    now_ms = broker_now_ms(client)
    commands = [command for key in streams for command in (("XLEN", key), ("XINFO GROUPS", key))]
    answers = iter(call_many(client, commands))
    return {camera: _lag_s(client, key, (next(answers), next(answers)), now_ms) for key, camera in streams.items()}


def _lag_s(client: Client, key: str, answers: tuple[Any, Any], now_ms: int) -> float:
    length, groups = answers
    if isinstance(length, BrokerError) or isinstance(groups, BrokerError):
        return math.nan
    group = next((item for item in groups if item["name"] == GROUP.encode()), None)
    if group is None:
        return math.nan
    if length == 0 or group["lag"] == 0:  # where unread entries were trimmed away, the broker's lag stays above 0
        return 0.0
    delivered = order_of(group["last-delivered-id"].decode())
    if group["lag"] is not None and delivered > (0, 0):
        return max(0.0, (now_ms - delivered[0]) / 1000)
    return _lag_by_stream_s(client, key, delivered, now_ms)


def _lag_by_stream_s(client: Client, key: str, delivered: tuple[int, int], now_ms: int) -> float:
    # This answer carries two pictures; it is asked for only where the group's own numbers say nothing.
    try:
        stream = call(client, "XINFO STREAM", key)
    except BrokerRefusedError:
        return math.nan
    if order_of(stream["last-generated-id"].decode()) <= delivered or not stream["first-entry"]:
        return 0.0
    since_ms = max(delivered[0], order_of(stream["first-entry"][0].decode())[0])
    return max(0.0, (now_ms - since_ms) / 1000)
