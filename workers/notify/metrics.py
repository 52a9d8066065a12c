"""What the notifier counts, by receiver."""

from __future__ import annotations

from common.metrics import BrokerMetrics, CollectorRegistry, Counter, Gauge, Histogram

ATTEMPT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class NotifyMetrics:
    """The notifier's series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.broker = BrokerMetrics(registry)
        receiver = ["receiver"]
        self.on_duty = Gauge("maskwatch_notify_on_duty", "1: this one delivers; 0: it stands by.", registry=registry)
        self.pending = Gauge(
            "maskwatch_webhook_pending", "Events read and not yet delivered.", receiver, registry=registry
        )
        self.oldest = Gauge(
            "maskwatch_webhook_oldest_seconds", "Age of the oldest of them; 0: none.", receiver, registry=registry
        )
        self.deliveries = Counter(
            "maskwatch_deliveries_total", "Attempts by outcome.", ["receiver", "outcome"], registry=registry
        )
        self.lag = Gauge(
            "maskwatch_subscriber_lag_seconds",
            "How far reading is behind the event log; 0: all is read.",
            receiver,
            registry=registry,
        )
        self.gaps = Counter(
            "maskwatch_delivery_gaps_total", "Gaps: events lost before they were read.", receiver, registry=registry
        )
        self.disabled = Gauge(
            "maskwatch_receiver_disabled", "1: it answered 410 Gone and gets no more.", receiver, registry=registry
        )
        self.attempt = Histogram(
            "maskwatch_delivery_attempt_seconds",
            "How long an attempt took.",
            receiver,
            buckets=ATTEMPT_BUCKETS_S,
            registry=registry,
        )
