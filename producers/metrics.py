"""What a producer counts, camera by camera."""

from __future__ import annotations

from collections.abc import Iterable

from common.metrics import BrokerMetrics, CollectorRegistry, Counter, Gauge
from common.schema import CameraState


class ProducerMetrics:
    """The series of one producer process; captured = published + dropped, at any time between two frames.

    Args:
        registry: Where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.broker = BrokerMetrics(registry)
        self.captured = Counter(
            "maskwatch_frames_captured_total", "Frames taken from the camera.", ["camera"], registry=registry
        )
        self.published = Counter(
            "maskwatch_frames_published_total", "Frames handed to the broker.", ["camera"], registry=registry
        )
        self.dropped = Counter(
            "maskwatch_frames_dropped_total", "Frames lost, by reason.", ["camera", "reason"], registry=registry
        )
        self.state = Gauge(
            "maskwatch_camera_state", "1 for the state the camera is in.", ["camera", "state"], registry=registry
        )
        self.fps = Gauge("maskwatch_camera_fps", "Frames a second taken of late.", ["camera"], registry=registry)
        self.reconnects = Counter(
            "maskwatch_camera_reconnects_total", "Openings after the first.", ["camera"], registry=registry
        )
        self.plan_version = Gauge("maskwatch_plan_version", "Version of the plan in force.", registry=registry)
        self.plans_unusable = Counter(
            "maskwatch_plans_unusable_total", "Published plans that could not be used.", registry=registry
        )

    def show_state(self, camera: str, now_in: CameraState) -> None:
        """Set the camera's state, and clear the four others."""
        for state in CameraState:
            self.state.labels(camera, state.value).set(state is now_in)

    def forget(self, camera: str, reasons: Iterable[str]) -> None:
        """Show nothing more of a camera that left the plan; ``reasons`` are all that its frames can be dropped for."""
        for series in (self.captured, self.published, self.fps, self.reconnects):
            series.remove(camera)
        for state in CameraState:
            self.state.remove(camera, state.value)
        for reason in reasons:
            self.dropped.remove(camera, reason)
