"""A TCP go-between with the faults of a network: what a broker's clients see when nothing is wrong with the broker."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_PIECE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Toxics:
    """What the go-between does to traffic; the defaults are a good network.

    Attributes:
        refuse: New connections are closed at once.
        blackhole: Bytes go nowhere, in both directions, and connections stay open.
        drop_replies: Requests arrive, their answers do not.
        latency_s: Added to every piece, in each direction.
        bytes_per_s: Most that passes in each direction of a connection; 0: no limit.
        reset_after: Connections are reset in the middle once so many bytes of requests have passed; 0: never.
    """

    refuse: bool = False
    blackhole: bool = False
    drop_replies: bool = False
    latency_s: float = 0.0
    bytes_per_s: int = 0
    reset_after: int = 0


class Proxy:
    """Passes bytes between clients and one server on loopback; a context manager. Thread-safe.

    Attributes:
        url: The server's URL, through the go-between.
        toxics: What is done to traffic now.
        lost: Replies that were cut off by `lose_next_reply`.
        accepted: Connections so far.
    """

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lose = threading.Event()
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._sockets: set[socket.socket] = set()
        port = self._listener.getsockname()[1]
        self.url = upstream_url.replace(f":{parts.port}", f":{port}")
        self.toxics = Toxics()
        self.lost = 0
        self.accepted = 0

    def lose_next_reply(self) -> None:
        """Cut the connection instead of passing on the next bytes that the server sends."""
        self._lose.set()

    def harm(self, **toxics: Any) -> None:
        """Do this to traffic from now on, besides what is done already; see `Toxics`."""
        self.toxics = replace(self.toxics, **toxics)

    def heal(self) -> None:
        """Be a good network again. Bytes that were swallowed are lost for ever, so connections they hit are cut."""
        swallowed = self.toxics.blackhole or self.toxics.drop_replies
        self.toxics = Toxics()
        if swallowed:
            self.cut()

    def cut(self) -> None:
        """Break every connection there is."""
        with self._guard:
            broken, self._sockets = self._sockets, set()
        for item in broken:
            _cut(item)

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        _cut(self._listener)
        self.cut()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                if self.toxics.refuse:
                    _cut(near)
                    continue
                try:
                    far = socket.create_connection(self._upstream)
                except OSError:  # the server is down: its clients are told at once
                    _cut(near)
                    continue
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._guard:
                    self._sockets |= {near, far}
                threading.Thread(target=self._pass_on, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                if replies and self._lose.is_set():
                    self._lose.clear()
                    self.lost += 1
                    break
                toxics = self.toxics
                if toxics.blackhole or (replies and toxics.drop_replies):
                    continue
                self._delay(len(data), toxics)
                passed += len(data)
                if toxics.reset_after and not replies and passed > toxics.reset_after:
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        with self._guard:
            self._sockets -= {source, target}
        _cut(source)
        _cut(target)

    def _delay(self, size: int, toxics: Toxics) -> None:
        pause_s = toxics.latency_s + (size / toxics.bytes_per_s if toxics.bytes_per_s else 0.0)
        if pause_s:
            deadline = time.monotonic() + pause_s
            while self.toxics == toxics and not self._over.wait(min(0.1, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    return


def _cut(item: socket.socket) -> None:
    with suppress(OSError):
        item.shutdown(socket.SHUT_RDWR)
    item.close()
