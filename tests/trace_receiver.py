"""An OTLP/HTTP receiver on loopback for tests: what came is read with OpenTelemetry's own messages."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Received:
    """One span as it came."""

    name: str
    role: str
    trace: str
    span: str
    parent: str
    begin_ns: int
    end_ns: int
    facts: dict[str, Any]
    resource: dict[str, Any]
    failed: bool


@dataclass
class TraceReceiver:
    """Takes traces.

    Attributes:
        mood: ``ok``, a status such as ``503``, or ``silent``, which never answers.
        spans: All that came and was answered with 200.
        bodies: The requests as they came.
        attempts: How many requests there were.
    """

    mood: str = "ok"
    port: int = 0
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    attempts: int = 0

    def __enter__(self) -> Self:
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"owner": self}))
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def traces(self) -> dict[str, list[Received]]:
        """Give the spans by trace, each in the order of their begin."""
        found: dict[str, list[Received]] = defaultdict(list)
        for span in sorted(self.spans, key=lambda span: span.begin_ns):
            found[span.trace].append(span)
        return dict(found)

    def take(self, body: bytes) -> None:
        """Read one request."""
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(group.resource.attributes)
            role = str(resource["service.name"]).removeprefix("maskwatch-")
            self.spans += [_received(span, role, resource) for scope in group.scope_spans for span in scope.spans]


def _received(span: Any, role: str, resource: dict[str, Any]) -> Received:
    return Received(
        span.name,
        role,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _plain(span.attributes),
        resource,
        span.status.code == 2,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    owner: TraceReceiver

    def do_POST(self) -> None:
        owner = self.owner
        owner.attempts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        owner.paths.append(self.path)
        if owner.mood == "silent":
            owner.stopped.wait(60)
            return
        if owner.mood == "ok":
            owner.take(body)
        self.send_response(200 if owner.mood == "ok" else int(owner.mood))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not news."""
