"""Tells a trace receiver of the ways that frames go, where the installation asks for it; else does nothing at all.

    frame published ─▶ frame looked at ─▶ frame judged ─▶ event logged ─▶ event delivered

The producer decides by the frame's trace id which frames are followed; the flag in the ``traceparent`` carries that on.
A frame that nobody followed and that made an event is told of by the judge afterwards, from the times in its result.
Of cameras that are only counted nothing is told: when somebody was there could be read from any of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

from common.errors import ConfigError
from common.lifecycle import StopSignal
from common.log import Log
from common.metrics import CollectorRegistry
from common.settings import OtelSettings, ServiceSettings, load
from common.siteplan import SitePlan
from common.spans import Span, SpanMetrics, SpanQueue

_log = Log("tracing")


class Tracing:
    """Tells nothing, and costs nothing.

    Attributes:
        exports: Whether spans go anywhere.
        ratio: Share of frames that are followed, 0 to 1.
    """

    exports = False
    ratio = 0.0

    def follow(self, plan: SitePlan) -> None:
        """Learn from the plan in force which cameras are only counted."""

    def allows(self, camera: str) -> bool:  # noqa: ARG002 - the other kind asks
        """Say whether frames of a camera may be told of; not before its plan is known."""
        return False

    def tell(self, span: Span) -> None:
        """Take a step of a frame's way; never waits."""


OFF = Tracing()


class _Export(Tracing):
    exports = True

    def __init__(self, queue: SpanQueue, ratio: float) -> None:
        self.ratio = ratio
        self.tell = queue.put  # type: ignore[method-assign] # one call less for every span
        self._told: frozenset[str] = frozenset()

    def follow(self, plan: SitePlan) -> None:
        self._told = frozenset(
            camera.id for camera in plan.cameras if (camera.privacy or plan.privacy.mode) != "statistics"
        )

    def allows(self, camera: str) -> bool:
        return camera in self._told


@contextmanager
def opened_tracing(
    role: str, connection: ServiceSettings, registry: CollectorRegistry, stop: StopSignal
) -> Iterator[Tracing]:
    """Give a role its tracing for as long as it works, and send what is left at the end, within the grace period.

    Args:
        role: Such as ``infer``.
        connection: For the grace period.
        registry: Where spans are counted.
        stop: The role's stop signal.

    Raises:
        ConfigError: A setting cannot be used, or the packages are missing; nothing was started.
    """
    settings = checked_settings()
    if settings is None:
        yield OFF
        return
    from common.otlp import OtlpWriter

    place = urlsplit(settings.endpoint).netloc
    writer = OtlpWriter(settings, role)
    queue = SpanQueue(writer.write, SpanMetrics(registry), settings.queue, (stop, connection.grace_s), place)
    _log.info("traces_exported", place=place, ratio=settings.ratio)
    if settings.headers is not None and not settings.endpoint.startswith("https:"):
        _log.warning("plain_http", place=place, advice="the headers of this receiver are readable on the way")
    try:
        yield _Export(queue, settings.ratio)
    finally:
        queue.close()
        writer.close()


def checked_settings() -> OtelSettings | None:
    """Read the settings of the export; None where it is off. No code of OpenTelemetry is run.

    Raises:
        ConfigError: A setting cannot be used, or the export is on and its packages are missing.
    """
    settings = load(OtelSettings)
    if not settings.endpoint:
        return None
    if not _installed():
        missing = "otel_endpoint: the export of traces needs OpenTelemetry"
        raise ConfigError(f"{missing}; install the extra: pip install 'maskwatch[otel]'")
    return settings


def _installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
