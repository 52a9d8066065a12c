"""Puts the parts together that make pictures of faces and keep those that events name."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from common.broker.client import Client, connect
from common.broker.events.log import EventLog
from common.broker.frames.pictures import PictureStore
from common.broker.lag import broker_now_ms
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.partition import Keys
from common.settings import ServiceSettings
from workers.infer.metrics import InferMetrics
from workers.infer.pictures.candidates import Candidates
from workers.infer.pictures.keeper import PictureKeeper, Shelf
from workers.infer.versions.serving import Serving

PUT_TIMEOUT_S = 0.5
"""How long a batch waits for its pictures at most, s: a picture is worth less than the results behind it."""


class Picturing:
    """Candidates for the loop, and the thread that keeps those which events name; a context manager.

    Attributes:
        candidates: For the loop.

    Args:
        connection: Where the frames broker is.
        state: Command client of the state broker.
        keys: Names of the installation's keys.
        serving: The networks in service.
        metrics: Where pictures are counted.
    """

    def __init__(
        self, connection: ServiceSettings, state: Client, keys: Keys, serving: Serving, metrics: InferMetrics
    ) -> None:
        secret = connection.frames_password.get_secret_value() if connection.frames_password else None
        self._client = connect(connection.frames_url, password=secret, timeout_s=PUT_TIMEOUT_S)
        store = PictureStore(self._client, keys)
        self.candidates = Candidates(serving, store, metrics)
        shelf = Shelf(
            feed=PlanFeed(PlanStore(state, keys.prefix), connection.privacy_floor),
            events=EventLog(state, state, keys),
            partitions=keys.partitions,
            store=store,
            now_ms=lambda: broker_now_ms(state),
        )
        self._keeper = PictureKeeper(shelf, self.candidates, metrics)

    def __enter__(self) -> Self:
        self._keeper.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.__exit__(kind, error, trace)
        self._client.close()
