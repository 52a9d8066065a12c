"""A motion-JPEG camera for benches: the same frames in turn at a steady rate, to any number of listeners, cheaply."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from common.lifecycle import StopSignal


class MjpegServer:
    """Serves ``/N.mjpg``; every listener gets all frames from the first on, ``fps`` a second.

    Args:
        jpegs: The pictures.
        fps: Frames a second for each listener.

    Attributes:
        parts: What is sent for each picture: head, picture, line end.
        address: Where the server listens.
    """

    def __init__(self, jpegs: Sequence[bytes], fps: float) -> None:
        self.stop = StopSignal()
        heads = [b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) for data in jpegs]
        self.parts = [head + data + b"\r\n" for head, data in zip(heads, jpegs, strict=True)]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.parts, fps, self.stop))
        self.address = ("127.0.0.1", int(self._server.server_address[1]))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def url(self, number: int) -> str:
        """Where a camera is found."""
        return f"http://127.0.0.1:{self.address[1]}/{number}.mjpg"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set("over")
        self._server.shutdown()
        self._server.server_close()


def _handler(parts: list[bytes], fps: float, stop: StopSignal) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for part in itertools.cycle(parts):
                if stop.wait(1 / fps):
                    return
                try:
                    self.wfile.write(part)
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Requests are not news."""

    return Handler
