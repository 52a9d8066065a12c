"""How a broker fares: memory against its limit, whether it can still write to its disk, and its clock beside ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

from common.broker.client import Client, call
from common.broker.clusternodes import ClusterClient
from common.broker.lag import broker_now_ms
from common.errors import BrokerRefusedError
from common.log import Log, OncePer
from common.metrics import BrokerMetrics

LOOK_EVERY_S, LOOK_AGAIN_S = 10.0, 1.0
SKEW_S = 2.0
"""Clocks further apart than this are told of, s."""
_AGAIN_S = 600.0
_log = Log("broker")


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a broker fares.

    Attributes:
        skew_s: This machine's clock less the broker's, s.
        memory_bytes: Memory in use; None where our user may not ask, as is ``persisting``.
        limit_bytes: At this much it refuses writes; 0: never, or unknown.
        persisting: False while it cannot write what it ought to keep.
    """

    skew_s: float
    memory_bytes: int | None = None
    limit_bytes: int = 0
    persisting: bool | None = None


def read_vitals(client: Client, *, clock_only: bool = False) -> Vitals:
    """Ask a broker; of a cluster the fullest node counts, as it is the first to refuse.

    Raises:
        BrokerError: It does not answer.
    """
    before = time.time()
    broker_s = broker_now_ms(client) / 1000
    skew_s = round((before + time.time()) / 2 - broker_s, 3)
    if clock_only:
        return Vitals(skew_s)
    try:
        facts = [call(client, "INFO", **node) for node in _nodes(client)]
    except BrokerRefusedError as error:
        if error.code != "noperm":
            raise
        return Vitals(skew_s)
    fullest = max(facts, key=lambda one: int(one["used_memory"]) / (int(one.get("maxmemory", 0)) or 1 << 60))
    used, limit = int(fullest["used_memory"]), int(fullest.get("maxmemory", 0))
    return Vitals(skew_s, used, limit, all(_persists(one) for one in facts))


class VitalSigns:
    """Shows a broker's state in the metrics of a process that has a client of it anyway.

    What is wrong is also said in the log, at the start and every ten minutes. Every role sets the clock; memory and
    disk only those whose user may ask ``INFO``. For one thread.

    Args:
        client: Command client of the endpoint.
        endpoint: ``frames`` or ``state``, as the series are labelled.
        metrics: Where it is shown.
    """

    def __init__(self, client: Client, endpoint: str, metrics: BrokerMetrics) -> None:
        self._client = client
        self._endpoint = endpoint
        self._metrics = metrics
        self._next_s = 0.0
        self._may_ask = True
        self._lines = OncePer(_AGAIN_S)

    def look(self, now_s: float) -> None:
        """Ask where ten seconds have passed since the last answer, or one since the last failure.

        Args:
            now_s: Monotonic time, s.

        Raises:
            BrokerError: The broker does not answer; the series keep their last values.
        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_AGAIN_S
        found = read_vitals(self._client, clock_only=not self._may_ask)
        self._next_s = now_s + LOOK_EVERY_S
        self._warn(found)
        self._metrics.skew.labels(self._endpoint).set(found.skew_s)
        self._may_ask = found.memory_bytes is not None
        if found.memory_bytes is not None:
            self._metrics.memory.labels(self._endpoint).set(found.memory_bytes)
            self._metrics.memory_limit.labels(self._endpoint).set(found.limit_bytes)
            self._metrics.persisting.labels(self._endpoint).set(bool(found.persisting))

    def _warn(self, found: Vitals) -> None:
        if abs(found.skew_s) > SKEW_S and self._lines.permit("clock") is not None:
            advice = "set the time on this machine or the broker's; order and ages go by the broker's"
            _log.warning("clock_skew", endpoint=self._endpoint, ahead_s=found.skew_s, advice=advice)
        if found.persisting is False and self._lines.permit("disk") is not None:
            advice = "it cannot write to its disk: make room there, it goes on by itself"
            _log.error("broker_not_persisting", endpoint=self._endpoint, advice=advice)


def _persists(facts: dict[str, Any]) -> bool:
    appending = not int(facts.get("aof_enabled", 0)) or facts.get("aof_last_write_status") == "ok"
    return bool(appending and facts.get("aof_last_bgrewrite_status", "ok") == "ok")


def _nodes(client: Client) -> list[dict[str, Any]]:
    if isinstance(client, ClusterClient):
        return [{"target_nodes": node} for node in cast(Any, client).get_primaries()]
    return [{}]
