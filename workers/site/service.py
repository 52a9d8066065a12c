"""The site stage as a thread of the judge's process; of all that run, the one that holds the site's lease works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.broker.client import Client
from common.broker.events.log import EventLog
from common.broker.ownership import PartitionStore
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.lifecycle import StopSignal
from common.metrics import CollectorRegistry
from common.partition import Keys
from common.siteplan import PrivacyMode
from workers.site.loop import SiteLoop, SiteSurroundings
from workers.site.metrics import SiteMetrics
from workers.site.streams import SiteStreams


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """How the site stage works.

    Attributes:
        owner: Name of this process in leases.
        lease_s: Another takes over this long after its death.
        renew_s: How often the lease is renewed.
        batch: Entries of a stream that are taken at a time.
        events_kept: About how many events the site's log keeps.
        grace_s: How long its end may take.
        floor: A plan of weaker privacy is not used.
    """

    owner: str
    lease_s: float
    renew_s: float
    batch: int
    events_kept: int
    grace_s: float
    floor: PrivacyMode = "full"


@dataclass(frozen=True, slots=True)
class SiteStage:
    """A running site stage."""

    loop: SiteLoop

    def stuck(self, longest_s: float) -> str:
        """Say so where it has not turned for ``longest_s``; empty while all is well."""
        return "the site stage has not turned for a minute" if time.monotonic() - self.loop.beat_s > longest_s else ""


@contextmanager
def running(client: Client, keys: Keys, settings: SiteSettings, registry: CollectorRegistry) -> Iterator[SiteStage]:
    """Run a site stage while the block runs; at its end what is there is still taken, and the lease given back."""
    store = PartitionStore(client, client, keys, settings.owner, settings.lease_s)
    streams = SiteStreams(client, keys, settings.batch)
    plans = PlanFeed(PlanStore(client, keys.prefix), settings.floor)
    around = SiteSurroundings(store, streams, EventLog(client, client, keys), plans, SiteMetrics(registry))
    loop, stop = SiteLoop(around, settings.renew_s, settings.events_kept), StopSignal()
    thread = threading.Thread(target=loop.run, args=(stop,), name="site", daemon=True)
    thread.start()
    try:
        yield SiteStage(loop)
    finally:
        stop.set()
        thread.join(settings.grace_s)
