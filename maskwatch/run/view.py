"""A page in the browser of this machine: cameras as moving pictures, with the events beside them.

Served on loopback only, since the pictures show people. Nothing is fetched from anywhere else.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from common.errors import PortInUseError

HOST = "127.0.0.1"
EVENTS_KEPT = 100
_PAGE = Path(__file__).parent / "pages" / "view.html"
_BOUNDARY = "maskwatch-next-picture"
_NEXT_PART = f"\r\n--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
_PATIENCE_S = 1.0
_RATE_WINDOW = 30
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "style-src 'unsafe-inline'",
        "script-src 'unsafe-inline'",
    )
)


class Stage:
    """What the page shows: the newest picture of each camera and the last events. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._times: dict[str, deque[float]] = {}
        self._events: deque[Mapping[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._count = 0
        self.closed = False

    def publish(self, camera: str, jpeg: bytes) -> None:
        """Show a picture; one that nobody fetched yet is replaced."""
        with self._changed:
            number = self._pictures[camera][0] + 1 if camera in self._pictures else 0
            self._pictures[camera] = (number, jpeg)
            self._times.setdefault(camera, deque(maxlen=_RATE_WINDOW)).append(time.monotonic())
            self._changed.notify_all()

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Show an event, a CloudEvent as read from JSON."""
        with self._changed:
            self._events.append(event)
            self._count += 1

    def has(self, camera: str) -> bool:
        """Say whether there is a picture of this camera."""
        with self._changed:
            return camera in self._pictures

    def next_picture(self, camera: str, after: int) -> tuple[int, bytes] | None:
        """Wait about a second for a picture newer than number ``after``; None where none came."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._pictures[camera][0] > after, _PATIENCE_S)
            number, picture = self._pictures[camera]
            return None if self.closed or number <= after else (number, picture)

    def state(self) -> bytes:
        """Give cameras with their frame rates, and the last events, oldest first, as JSON."""
        with self._changed:
            now = time.monotonic()
            cameras = [{"id": name, "fps": _rate(times, now)} for name, times in sorted(self._times.items())]
            state = {"cameras": cameras, "count": self._count, "events": list(self._events)}
            return json.dumps(state).encode()

    def close(self) -> None:
        """Let everybody who waits for a picture go."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


def _rate(times: deque[float], now: float) -> float:
    recent = [at for at in times if now - at < 5]
    return round((len(recent) - 1) / (recent[-1] - recent[0]), 1) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


class ViewServer:
    """Serves the page until it is closed.

    Args:
        port: On 127.0.0.1; 0 takes a free one, see `port`.

    Raises:
        PortInUseError: The port belongs to somebody else; nothing was bound.
    """

    def __init__(self, port: int = 0) -> None:
        self.stage = Stage()
        try:
            self._server = _Server((HOST, port), _handler(self.stage))
        except OSError as error:
            message = f"view port: {HOST}:{port} cannot be used ({error.strerror}); choose another, or 0 for a free one"
            raise PortInUseError(message) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="view", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/"

    def publish(self, camera: str, jpeg: bytes) -> None:
        """Show a camera's newest picture, a JPEG; returns at once, however slow the browsers are."""
        self.stage.publish(camera, jpeg)

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Show an event, a CloudEvent as read from JSON."""
        self.stage.add_event(event)

    def close(self) -> None:
        """Stop serving and give the port back."""
        self.stage.close()
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of a picture is not news."""


def _handler(stage: Stage) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"stage": stage})


class _Handler(BaseHTTPRequestHandler):
    stage: Stage

    def do_GET(self) -> None:
        path = unquote(self.path.split("?", 1)[0])
        camera = path.removeprefix("/camera/").removesuffix(".mjpeg")
        if not self._is_local():
            self._answer(403, b"this page is only for this machine\n", "text/plain")
        elif path == "/":
            self._answer(200, _PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path == "/events.json":
            self._answer(200, self.stage.state(), "application/json")
        elif path == f"/camera/{camera}.mjpeg" and self.stage.has(camera):
            self._stream(camera)
        else:
            self._answer(404, b"not here\n", "text/plain")

    def _is_local(self) -> bool:
        # A foreign name that resolves to loopback (DNS rebinding) must not let its page read the pictures.
        return self.headers.get("Host", "").rsplit(":", 1)[0] in (HOST, "localhost")

    def _stream(self, camera: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(_NEXT_PART)
        number = -1
        while not self.stage.closed:
            found = self.stage.next_picture(camera, number)
            if found is None:
                continue
            number, picture = found
            # The next part's head goes out at once: browsers show a picture only once another one has begun.
            self.wfile.write(picture + _NEXT_PART)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not news."""
