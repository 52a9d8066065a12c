"""An HTTP server for tests, on loopback: files, and a motion-JPEG camera."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.video_material import SIZE, jpegs
from tests.video_server import Controls


class HttpServer(Controls):
    """Serves files under ``/files/NAME`` and a motion-JPEG camera at `stream_url`."""

    def __init__(self, fps: float = 15.0, *, folder: Path | None = None, size: tuple[int, int] = SIZE) -> None:
        super().__init__(fps)
        self.folder = folder
        self.size = size
        self.password = ""
        self.with_length = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def stream_url(self) -> str:
        """The motion-JPEG camera."""
        return f"http://{self.address}/stream.mjpg"

    def file_url(self, name: str) -> str:
        """A file of the folder."""
        return f"http://{self.address}/files/{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    def _knows(self, password: str) -> bool:
        wanted = "Basic " + base64.b64encode(f"camera:{password}".encode()).decode()
        if self.headers.get("Authorization") == wanted:
            return True
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not news."""


def _handler(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        def do_GET(self) -> None:
            routes: dict[str, Callable[[], None]] = {"/stream.mjpg": self._stream, "/page.html": self._page}
            try:
                routes.get(self.path, self._file)()
            except OSError:
                self.close_connection = True

        def _page(self) -> None:
            self._send(200, b"<p>no video here</p>", "text/html")

        def _file(self) -> None:
            path = (server.folder or Path()) / self.path.rpartition("/")[2]
            if server.folder is None or not path.is_file():
                self._send(404, b"", "text/plain")
            else:
                self._send(200, path.read_bytes(), "video/mp4")

        def _stream(self) -> None:
            if server.password and not self._knows(server.password):
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=--frame")
            self.end_headers()
            while not server.closed.is_set():
                number = server.next_number()
                if number is None:
                    continue
                picture = jpegs(server.scene, server.size)[number]
                length = f"Content-Length: {len(picture)}\r\n" if server.with_length else ""
                self.wfile.write(f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + picture + b"\r\n")

    return Handler
