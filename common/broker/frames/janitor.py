"""Removes old entries of frame streams (frames endpoint)."""

from __future__ import annotations

from collections.abc import Iterable

from common.broker.client import Client, call_many
from common.broker.lag import broker_now_ms
from common.errors import BrokerError, of_one_node
from common.partition import Keys


class Janitor:
    """Removes frames that are too old, also when their camera has stopped: MAXLEN alone would keep its last ones."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client."""
        self._client = client
        self._keys = keys

    def trim(self, cameras: Iterable[str], max_age_s: float) -> dict[str, int]:
        """Remove the entries of these cameras that are older than ``max_age_s`` seconds by the broker's clock.

        Returns:
            Cameras that lost entries, and how many; read ones count too, so this is no measure of drops.
        """
        names = list(cameras)
        if not names:
            return {}
        oldest = f"{max(0, broker_now_ms(self._client) - round(1000 * max_age_s))}-0"
        answers = call_many(self._client, [("XTRIM", self._keys.frames(name), "MINID", oldest) for name in names])
        trimmed = {}
        for name, answer in zip(names, answers, strict=True):
            if not isinstance(answer, BrokerError):
                trimmed[name] = int(answer)
            elif not of_one_node(answer):
                raise answer
        return {name: count for name, count in trimmed.items() if count}
