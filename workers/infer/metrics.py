"""What an infer worker says about itself."""

from __future__ import annotations

from common.metrics import (
    BATCH_BUCKETS,
    LATENCY_BUCKETS_S,
    STAGE_BUCKETS_S,
    BrokerMetrics,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)


class InferMetrics:
    """All series of an infer worker, made against a registry of the caller's.

    Every frame that a worker finishes is counted once: as processed, or as dropped with its reason.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.broker = BrokerMetrics(registry)
        self.processed = Counter("maskwatch_frames_processed_total", "Frames looked at.", ["camera"], registry=registry)
        self.dropped = Counter(
            "maskwatch_frames_dropped_total", "Frames not looked at.", ["camera", "reason"], registry=registry
        )
        self.dead_letters = Counter(
            "maskwatch_dead_letters_total", "Frames and messages put aside.", ["reason"], registry=registry
        )
        self.plans_unusable = Counter(
            "maskwatch_plans_unusable_total", "Published plans that could not be used.", registry=registry
        )
        self.batch_size = Histogram(
            "maskwatch_batch_size", "Frames in a batch.", buckets=BATCH_BUCKETS, registry=registry
        )
        self.batch_wait = Histogram(
            "maskwatch_batch_wait_seconds",
            "From the read to the start of its batch.",
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self.stage = Histogram(
            "maskwatch_stage_seconds", "Time in each stage.", ["stage"], buckets=STAGE_BUCKETS_S, registry=registry
        )
        self.capture_to_result = Histogram(
            "maskwatch_capture_to_result_seconds",
            "From capture to the published result.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.backlog = Gauge(
            "maskwatch_backlog_seconds", "Age of the oldest unread frame.", ["camera"], registry=registry
        )
        self.reclaimed = Counter(
            "maskwatch_frames_reclaimed_total", "Frames taken over from other workers.", registry=registry
        )
        self.trimmed_pending = Counter(
            "maskwatch_frames_trimmed_pending_total",
            "Entries cut from a stream while somebody held them; the judge counts their frames as trimmed.",
            ["camera"],
            registry=registry,
        )
        self.model = Gauge(
            "maskwatch_model_info", "1 for each model in service.", ["kind", "name", "version", "digest"],
            registry=registry,
        )  # fmt: skip

    def time_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage took; a `StageTimer`."""
        self.stage.labels(stage).observe(seconds)
