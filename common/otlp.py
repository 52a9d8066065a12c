"""Sends spans by OTLP over HTTP. The only module that loads OpenTelemetry, and loaded only where traces are exported.

Spans are made as records of the SDK where they are sent, not where they arise: its tracer would cost every frame more,
and gives spans ids of its own, while ours are in the headers of frames already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from common.errors import ConfigError
from common.settings import OtelSettings, host_name
from common.spans import Span

_PATH = "/v1/traces"
_KINDS = {"producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER, "client": SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_OK, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class OtlpWriter:
    """Sends spans in the name of a role; `write` is for one thread.

    What our settings do not name (compression, client certificates, attributes of the resource) follows the SDK's own
    ``OTEL_…`` variables.

    Args:
        settings: Where to.
        role: Such as ``infer``.

    Raises:
        ConfigError: The headers cannot be read.
    """

    def __init__(self, settings: OtelSettings, role: str) -> None:
        self._role = role
        self._release = version("maskwatch")
        self._scope = InstrumentationScope("maskwatch", self._release)
        self._causes = _Causes()
        library = logging.getLogger("opentelemetry")
        library.handlers[:] = [self._causes]
        library.propagate = False
        self._me = f"{host_name()}-{os.getpid()}"
        self._resources = {"": self._resource(role, self._me)}
        self._exporter = OTLPSpanExporter(
            endpoint=_full(settings.endpoint),
            certificate_file=str(settings.ca_file) if settings.ca_file else None,
            headers=_headers(settings.headers.get_secret_value()) if settings.headers else None,
            timeout=settings.timeout_s,
        )

    def write(self, spans: Sequence[Span]) -> str:
        """Send spans, trying again for the settings' timeout; empty once they are there, else why they are lost."""
        self._causes.last = ""
        if self._exporter.export([self._made(span) for span in spans]) is SpanExportResult.SUCCESS:
            return ""
        return self._causes.last or "no answer"

    def close(self) -> None:
        """Let go of the receiver; an attempt under way is not repeated."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _made(self, span: Span) -> ReadableSpan:
        place = span.place
        return ReadableSpan(
            name=span.name,
            context=SpanContext(place.trace_id, place.span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=SpanContext(place.trace_id, span.parent, is_remote=True) if span.parent else None,
            resource=self._resource_of(span.role),
            attributes=span.facts,
            kind=_KINDS[span.kind],
            status=_FAILED if span.failed else _OK,
            start_time=_ns(span.start_s),
            end_time=_ns(max(span.start_s, span.end_s)),
            instrumentation_scope=self._scope,
        )

    def _resource_of(self, role: str) -> Resource:
        if role not in self._resources:
            self._resources[role] = self._resource(role, f"told-by-{self._role}-{self._me}")
        return self._resources[role]

    def _resource(self, role: str, instance: str) -> Resource:
        named = {"service.namespace": "maskwatch", "service.name": f"maskwatch-{role}"}
        return Resource.create({**named, "service.version": self._release, "service.instance.id": instance})


class _Causes(logging.Handler):
    """Keeps what the library says of a failure, in a word; it would print it for every batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        found_in = record.args if isinstance(record.args, tuple) else ()
        passing = str(record.msg).startswith("Transient")  # then the cause comes first: an error, or the server's words
        for found in found_in[:1] if passing else found_in:
            if isinstance(found, BaseException):
                self.last = type(found).__name__
            elif isinstance(found, int) and found >= 300:
                self.last = f"status {found}"
            elif passing:
                self.last = str(found)[:60]


def _ns(moment_s: float) -> int:
    return 1000 * round(1e6 * moment_s)


def _full(endpoint: str) -> str:
    path = urlsplit(endpoint).path.rstrip("/")
    return endpoint.rstrip("/") + ("" if path.endswith(_PATH) else _PATH)


def _headers(text: str) -> dict[str, str]:
    found = {}
    for number, pair in enumerate(part for part in text.replace("\n", ",").split(",") if part.strip()):
        name, sign, value = pair.partition("=")
        if not (name.strip() and sign):
            raise ConfigError(f"otel_headers: header {number + 1} is not name=value")
        found[name.strip()] = value.strip()
    return found
