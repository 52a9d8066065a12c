"""Cameras for tests, on loopback: RTSP with H.264, and what a test can do to any camera.

Each can be cut off, frozen, stalled, darkened and brought back, as real cameras do on their own.
"""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Literal, Self

from tests.video_material import ROUND, access_units

Mode = Literal["play", "freeze", "stall", "dark"]
_MTU = 1400
_CLOCK_HZ = 90_000


class Controls:
    """What a test does to a camera."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.mode: Mode = "play"
        self.closed = threading.Event()
        self._shown = 0

    def freeze(self) -> None:
        """Send the same picture again and again."""
        self.mode = "freeze"

    def stall(self) -> None:
        """Keep connections open, but send nothing."""
        self.mode = "stall"

    def darken(self) -> None:
        """Put the lights out."""
        self.mode = "dark"

    def resume(self) -> None:
        """Play on."""
        self.mode = "play"

    def next_number(self) -> int | None:
        """Wait for the next picture's time and give its number; None while stalled."""
        self.closed.wait(1 / self.fps)
        if self.mode == "stall":
            return None
        if self.mode != "freeze":
            self._shown = (self._shown + 1) % ROUND
        return self._shown

    @property
    def scene(self) -> str:
        """Which scene is on."""
        return "dark" if self.mode == "dark" else "play"


class RtspServer(Controls):
    """One H.264 camera at `url`; transport is TCP only, as most sites have it."""

    def __init__(self, fps: float = 30.0, *, listen: bool = True) -> None:
        super().__init__(fps)
        access_units("play")
        self._guard = threading.Lock()
        self._clients: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.connections = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        if listen:
            self.resume()

    @property
    def url(self) -> str:
        """Where to play it."""
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.cut()

    def resume(self) -> None:
        """Play on; listen again after a cut."""
        self.mode = "play"
        with self._guard:
            if self._listener is not None:
                return
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen()
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        with self._guard:
            sockets = self._clients + ([self._listener] if self._listener else [])
            self._clients, self._listener = [], None
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._guard:
                if self._listener is not listener:
                    client.close()
                    return
                self._clients.append(client)
                self.connections += 1
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def _converse(self, client: socket.socket) -> None:
        lock = threading.Lock()
        buffer = b""
        try:
            while True:
                data = client.recv(65536)
                if not data:
                    break
                buffer = _without_interleaved(buffer + data)
                while b"\r\n\r\n" in buffer:
                    request, _, buffer = buffer.partition(b"\r\n\r\n")
                    answer, plays = self._answer(request.decode("latin-1"))
                    with lock:
                        client.sendall(answer)
                    if plays:
                        threading.Thread(target=self._play, args=(client, lock), daemon=True).start()
                    buffer = _without_interleaved(buffer)
        except OSError:
            pass
        finally:
            client.close()

    def _answer(self, request: str) -> tuple[bytes, bool]:
        method = request.partition(" ")[0]
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in request.split("\r\n")[1:])
        }
        lines = [f"CSeq: {headers.get('cseq', '0')}"]
        body = b""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            body = self._description()
            lines += ["Content-Type: application/sdp", f"Content-Base: {self.url}/", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            if "tcp" not in headers.get("transport", "").lower():
                return f"RTSP/1.0 461 Unsupported Transport\r\nCSeq: {headers.get('cseq')}\r\n\r\n".encode(), False
            lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 77;timeout=60"]
        else:
            lines.append("Session: 77")
        return "\r\n".join(["RTSP/1.0 200 OK", *lines, "", ""]).encode() + body, method == "PLAY"

    def _description(self) -> bytes:
        first = access_units("play")[0]
        sets = ",".join(base64.b64encode(unit).decode() for unit in first if unit[0] & 31 in (7, 8))
        lines = [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=camera",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            "a=control:*",
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}",
            f"a=framerate:{self.fps:g}",
            "a=control:track1",
        ]
        return ("\r\n".join(lines) + "\r\n").encode()

    def _play(self, client: socket.socket, lock: threading.Lock) -> None:
        sequence = 0
        started = time.monotonic()
        while not self.closed.is_set():
            number = self.next_number()
            if number is None:
                continue
            moment = int((time.monotonic() - started) * _CLOCK_HZ)
            wire = b""
            for packet in _rtp(access_units(self.scene)[number], sequence, moment):
                sequence = (sequence + 1) & 0xFFFF
                wire += b"$\x00" + struct.pack(">H", len(packet)) + packet
            try:
                with lock:
                    client.sendall(wire)
            except OSError:
                return


def _without_interleaved(data: bytes) -> bytes:
    """Pass over the receiver reports that a player sends in between its requests."""
    while len(data) >= 4 and data[:1] == b"$":
        (length,) = struct.unpack(">H", data[2:4])
        if len(data) < 4 + length:
            return data
        data = data[4 + length :]
    return data


def _rtp(units: tuple[bytes, ...], sequence: int, moment: int) -> list[bytes]:
    payloads: list[bytes] = []
    for unit in units:
        if len(unit) <= _MTU:
            payloads.append(unit)
            continue
        indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 31
        pieces = [unit[at : at + _MTU] for at in range(1, len(unit), _MTU)]
        for index, piece in enumerate(pieces):
            edge = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
            payloads.append(bytes([indicator, edge | kind]) + piece)
    last = len(payloads) - 1
    return [
        struct.pack(">BBHII", 0x80, 96 | (0x80 if index == last else 0), (sequence + index) & 0xFFFF, moment, 0xCAFE)
        + load
        for index, load in enumerate(payloads)
    ]
