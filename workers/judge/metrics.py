"""What the judge counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from common.events import CloudEvent, ViolationData
from common.metrics import (
    LATENCY_BUCKETS_S,
    BrokerMetrics,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    forget_cameras,
)


class JudgeMetrics:
    """The judge's series. They grow after a commit, so that work done twice is counted once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.broker = BrokerMetrics(registry)
        self.results = Counter(
            "maskwatch_results_judged_total", "Results judged, by outcome.", ["outcome"], registry=registry
        )
        self.trimmed = Counter(
            "maskwatch_frames_dropped_total",
            "Published frames that never came back as a result.",
            ["camera", "reason"],
            registry=registry,
        )
        self.plans_unusable = Counter(
            "maskwatch_plans_unusable_total", "Published plans that could not be used.", registry=registry
        )
        self.duplicates = Counter("maskwatch_results_duplicate_total", "Results that came again.", registry=registry)
        self.late = Counter("maskwatch_results_late_total", "Results that came after their turn.", registry=registry)
        self.rejected = Counter(
            "maskwatch_dead_letters_total", "Result entries put aside, by reason.", ["reason"], registry=registry
        )
        self.events = Counter("maskwatch_events_total", "Events logged, by type.", ["type"], registry=registry)
        self.capture_to_event = Histogram(
            "maskwatch_capture_to_event_seconds",
            "From the capture of the frame that caused an event to its place in the log.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.partitions = Gauge("maskwatch_partitions_owned", "Partitions this judge holds.", registry=registry)
        self.partitions_in_all = Gauge("maskwatch_partitions", "Partitions of the installation.", registry=registry)
        self.fenced = Counter(
            "maskwatch_commits_fenced_total", "Commits refused because another had taken over.", registry=registry
        )

    def forget(self, planned: Callable[[str], bool]) -> None:
        """Show nothing more of cameras that are not ``planned``."""
        forget_cameras(self.trimmed, lambda camera: not planned(camera))

    def count_events(self, events: list[CloudEvent]) -> None:
        """Count events that were logged just now."""
        now = time.time()
        for event in events:
            self.events.labels(event.type).inc()
            if isinstance(event.data, ViolationData) and event.data.reason not in (
                "camera_lost",
                "timeout",
                "policy_changed",
            ):
                self.capture_to_event.observe(max(0.0, now - datetime.fromisoformat(event.time).timestamp()))
