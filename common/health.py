"""The small HTTP server of every process: ``/metrics``, ``/healthz`` (alive) and ``/readyz`` (able to work).

Liveness never asks the broker: a broker that is down must not get every worker restarted. Readiness may.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from common.errors import PortInUseError

Check = Callable[[], str]
"""Gives an empty text while all is well, else what is wrong."""


POLL_S = 0.05
"""How soon a closing server notices, s."""


def _well() -> str:
    return ""


class HealthServer:
    """Serves one process's metrics and health until it is closed.

    Args:
        registry: What ``/metrics`` shows.
        address: Host and port; port 0 takes a free one, see `port`.
        alive: What ``/healthz`` asks; must answer at once, without the broker.
        ready: What ``/readyz`` asks.

    Raises:
        PortInUseError: The port belongs to somebody else, or the host is not this machine's; nothing was bound.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        address: tuple[str, int],
        *,
        alive: Check = _well,
        ready: Check = _well,
    ) -> None:
        handler = _handler(registry, {"/healthz": alive, "/readyz": ready})
        try:
            self._server = _Server(address, handler)
        except OSError as error:
            host, port = address
            message = (
                f"metrics_port: {host}:{port} cannot be used ({error.strerror}); choose another, or 0 for a free one"
            )
            raise PortInUseError(message) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(registry: CollectorRegistry, checks: dict[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            if path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif path in checks:
                trouble = checks[path]()
                self._answer(503 if trouble else 200, (trouble or "ok").encode() + b"\n", "text/plain")
            else:
                self._answer(404, b"try /metrics, /healthz or /readyz\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not news."""

    return Handler
