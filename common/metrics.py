"""What the metrics of all services share: names, bucket ladders, and the counters that must add up."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

__all__ = [
    "BATCH_BUCKETS",
    "LATENCY_BUCKETS_S",
    "STAGE_BUCKETS_S",
    "BrokerMetrics",
    "CollectorRegistry",
    "Counter",
    "Gauge",
    "Histogram",
    "forget_cameras",
    "process_registry",
]


def process_registry() -> CollectorRegistry:
    """Make a registry with the usual process metrics (memory, CPU, open files)."""
    from prometheus_client import ProcessCollector, disable_created_metrics

    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside every counter, which nothing here reads
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    return registry


def forget_cameras(series: Counter | Gauge, gone: Callable[[str], bool]) -> None:
    """Show nothing more of some cameras in a series with a label ``camera``, whatever its other labels say."""
    (family,) = series.collect()
    for labels in {tuple(sample.labels.items()) for sample in family.samples}:
        if gone(dict(labels)["camera"]):
            series.remove(*(value for _, value in labels))


class BrokerMetrics:
    """How the broker treats this process; the same series in every service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.errors = Counter(
            "maskwatch_broker_errors_total", "Broker errors by code.", ["endpoint", "code"], registry=registry
        )
        endpoint = ["endpoint"]
        self.up = Gauge("maskwatch_broker_up", "1 while the broker answers.", endpoint, registry=registry)
        self.skew = Gauge(
            "maskwatch_clock_skew_seconds", "This machine's clock less the broker's.", endpoint, registry=registry
        )
        self.memory = Gauge("maskwatch_broker_memory_bytes", "Memory in use there.", endpoint, registry=registry)
        self.memory_limit = Gauge(
            "maskwatch_broker_memory_limit_bytes", "At this much it refuses writes; 0: never.", endpoint,
            registry=registry,
        )  # fmt: skip
        self.persisting = Gauge(
            "maskwatch_broker_persistence_ok", "0 while it cannot write what it ought to keep.", endpoint,
            registry=registry,
        )  # fmt: skip
