"""What an infer worker says about itself."""

from __future__ import annotations

from collections.abc import Callable

from common.metrics import (
    BATCH_BUCKETS,
    LATENCY_BUCKETS_S,
    STAGE_BUCKETS_S,
    BrokerMetrics,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    forget_cameras,
)
from common.schema import ModelRef
from workers.infer.outcomes import Signature


class InferMetrics:
    """All series of an infer worker, made against a registry of the caller's.

    Every frame that a worker finishes is counted once: as processed, or as dropped with its reason.

    Attributes:
        listener: Told of stages as `time_stage` is; None for nobody.
    """

    listener: Callable[[str, float], None] | None = None

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
        self.decode_fallbacks = Counter(
            "maskwatch_decode_fallbacks_total", "Frames that the CPU decoded in place of the GPU.", registry=registry
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
        self.pictures = Counter(
            "maskwatch_pictures_total", "Small pictures left on the frames broker.", ["kind"], registry=registry
        )
        self.pictures_dropped = Counter(
            "maskwatch_pictures_dropped_total",
            "Small pictures that were not left there.",
            ["reason"],
            registry=registry,
        )
        self.pictures_kept = Counter(
            "maskwatch_pictures_kept_total",
            "Pictures kept on because an event names them.",
            ["kind"],
            registry=registry,
        )
        self.model = Gauge(
            "maskwatch_model_info", "1 for each model in service.", ["kind", "name", "version", "digest"],
            registry=registry,
        )  # fmt: skip
        self._add_model_series(registry)

    def _add_model_series(self, registry: CollectorRegistry) -> None:
        self._told: set[tuple[str, str, str, str]] = set()
        self.generation = Gauge(
            "maskwatch_model_generation", "Generation of the model pointer that is served.", registry=registry
        )
        self.swaps = Counter("maskwatch_model_swaps_total", "Networks exchanged while serving.", registry=registry)
        self.load_failures = Counter(
            "maskwatch_model_load_failures_total", "Versions that were not taken.", ["kind", "reason"],
            registry=registry,
        )  # fmt: skip
        self.shadow_frames = Counter(
            "maskwatch_shadow_frames_total", "Frames that a candidate looked at as well.", ["verdict"],
            registry=registry,
        )  # fmt: skip
        self.shadow_skipped = Counter(
            "maskwatch_shadow_skipped_total", "Batches due for comparison and left out.", ["reason"], registry=registry
        )

    def forget(self, cameras: set[str]) -> None:
        """Show nothing more of cameras that left the plan."""
        for series in (self.processed, self.dropped, self.trimmed_pending, self.backlog):
            forget_cameras(series, cameras.__contains__)

    def tell_models(self, signature: Signature, generation: int) -> None:
        """Show which models are in service, and these only."""
        now = {("detector", *_labels(signature.detector)), ("classifier", *_labels(signature.classifier))}
        for labels in now:
            self.model.labels(*labels).set(1)
        for labels in self._told - now:
            self.model.remove(*labels)
        self._told = now
        self.generation.set(generation)

    def time_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage took; a `StageTimer`."""
        self.stage.labels(stage).observe(seconds)
        if self.listener is not None:
            self.listener(stage, seconds)


def _labels(ref: ModelRef) -> tuple[str, str, str]:
    return ref.name, ref.version, ref.digest
