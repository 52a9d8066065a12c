"""A webhook receiver for tests that verifies signatures by the convention, and can misbehave in many ways."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()
TOLERANCE_S = 300


class VerificationError(Exception):
    """A message that must not be believed."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Check a message as a receiver should: one matching signature, and a timestamp of the last five minutes."""
    sent = int(headers["webhook-timestamp"])
    if abs(now - sent) > TOLERANCE_S:
        raise VerificationError("too old or too new")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [item.partition(",") for item in headers["webhook-signature"].split(" ")]
    if not any(version == "v1" and hmac.compare_digest(value, expected) for version, _, value in given):
        raise VerificationError("no signature fits")


@dataclass
class Receiver:
    """An HTTP server on loopback.

    Attributes:
        secret: Messages must be signed with it.
        mood: ``ok``, a status such as ``500``, ``redirect``, ``silent`` (never answers), ``endless`` (a body without
            an end after 200), ``drip`` (headers without an end), ``garbage`` (no HTTP).
        moods: Camera to a mood of its own.
        accepted: Messages that were answered with 200, in order.
        attempts: All that came, with arrival time and connection peer.
    """

    secret: str
    port: int = 0
    tls: tuple[Path, Path] | None = None
    mood: str = "ok"
    moods: dict[str, str] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[tuple[float, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Listen; after `down`, on the same port."""
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"owner": self}))
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Stop listening; connections are refused from now on."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/hook"

    def ids(self, camera: str = "") -> list[str]:
        """Ids of the accepted events, repeats left out, in order of their first arrival."""
        events = [event for event in self.accepted if camera in ("", event["partitionkey"])]
        return list(dict.fromkeys(event["id"] for event in events))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    owner: Receiver

    def do_POST(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.attempts.append((time.monotonic(), headers["webhook-id"]))
        owner.headers.append(headers)
        owner.paths.append(self.path)
        event = json.loads(body)
        try:
            verify(owner.secret, headers, body, time.time())
        except VerificationError as error:
            owner.errors.append(str(error))
            self._status("401")
            return
        mood = owner.moods.get(event["partitionkey"], owner.mood)
        if mood in ("ok", "endless"):
            owner.accepted.append(event)
        with suppress(OSError):
            getattr(self, f"_{mood}", lambda: self._status(mood))()

    def _ok(self) -> None:
        self._status("200")

    def _redirect(self) -> None:
        self.send_response(307)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.end_headers()

    def _silent(self) -> None:
        self.owner.stopped.wait(60)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.owner.stopped.is_set():
            self.wfile.write(b"x" * 65536)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.owner.stopped.wait(0.05):
            self.wfile.write(b"x")

    def _garbage(self) -> None:
        self.wfile.write(b"220 mail.example ESMTP\r\n\r\n")

    def _status(self, status: str) -> None:
        self.send_response(int(status))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not news."""
