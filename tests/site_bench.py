"""A site stage on a real broker whose turns are taken by hand, and what is put before it; for its tests."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from common.broker.client import call
from common.broker.events.log import EventLog
from common.broker.ownership import PartitionStore
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.broker.siteinbox import SiteNews
from common.events import FEEDBACK_TYPE
from tests.brokers import Brokers
from tests.site_scenes import a_plan, a_violation
from workers.site.loop import SiteLoop, SiteSurroundings
from workers.site.metrics import SiteMetrics
from workers.site.streams import SiteStreams

EXAMPLE = Path(__file__).parents[1] / "docs/schemas/examples" / f"{FEEDBACK_TYPE}.json"


class Bench:
    """A site stage whose turns are taken by hand."""

    def __init__(self, brokers: Brokers, me: str = "me", ttl_s: float = 6.0, batch: int = 500) -> None:
        client, keys = brokers.state, brokers.keys
        self.registry = CollectorRegistry()
        store = PartitionStore(client, client, keys, me, ttl_s)
        around = SiteSurroundings(
            store,
            SiteStreams(client, keys, batch),
            EventLog(client, client, keys),
            PlanFeed(PlanStore(client, keys.prefix)),
            SiteMetrics(self.registry),
        )
        self.loop = SiteLoop(around, renew_s=1e9, events_kept=1000)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def settle(self) -> None:
        """Take turns until everything that is there now was taken."""
        threading.Event().wait(0.003)  # what was written in this very millisecond is taken in the next one
        while self.loop.turn():
            pass


def publish(brokers: Brokers, **parts: Any) -> None:
    PlanStore(brokers.state, brokers.keys.prefix).publish(a_plan(**parts).to_bytes())


def site_log(brokers: Brokers, kind: str = "") -> list[dict[str, Any]]:
    entries = call(brokers.state, "XRANGE", brokers.keys.site_events(), "-", "+")
    found = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in found if kind in event["type"]]


def say(brokers: Brokers, episode: str, camera: str = "gate-1") -> None:
    fields = a_violation(episode, camera).items()
    key = brokers.keys.events(brokers.keys.partition_of(camera))
    call(brokers.state, "XADD", key, "*", *[part for pair in fields for part in pair])


def feedback(name: str = "n1", **fields: Any) -> SiteNews:
    data = json.loads(EXAMPLE.read_text("utf-8"))["data"]
    values = {"kind": FEEDBACK_TYPE, "id": name, "subject": "episode", "source": "", "at_s": 1.79e9, "data": data}
    return SiteNews(**values | fields)
