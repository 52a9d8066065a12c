"""Motion JPEG over HTTP: a multipart answer that never ends, whose JPEGs are passed on as the camera made them."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from common import jpeg
from common.errors import FrameRejectedError, NotAVideoError, SourceUnreachableError
from producers import picture
from producers.pacing import Pacer
from producers.sources.multipart import MultipartParser
from producers.sources.source import Arrivals, SourceFrame, SourceSettings

_CHUNK_BYTES = 64 << 10
_PATIENCE_S = 0.5
_Inspect = Callable[[bytes], jpeg.JpegInfo]


class HttpAnswer:
    """An open answer of an HTTP server, of which only the headers were read.

    Attributes:
        multipart: True where the body is a sequence of parts.
        boundary: What lies between them, else empty.
        text: True where the server itself calls it text, such as a page that asks for a login.
        bare: True where the body comes over the socket as it is, neither encrypted nor in chunks.
    """

    def __init__(self, response: HTTPResponse) -> None:
        headers: Message = response.headers
        self.multipart = headers.get_content_maintype() == "multipart"
        self.text = headers.get_content_maintype() == "text"
        self.boundary = str(headers.get_param("boundary") or "")
        self.bare = urlsplit(response.url).scheme == "http" and "Transfer-Encoding" not in headers
        self.response = response

    def close(self) -> None:
        """Hang up."""
        self.response.close()


def open_http(url: str, settings: SourceSettings) -> HttpAnswer:
    """Ask for a URL; user and password in it are used for Basic or Digest authentication. Environment proxies are not.

    Raises:
        SourceUnreachableError: Nothing answers, or the answer is an error; the message names neither user nor password.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    plain = parts._replace(netloc=host).geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, plain, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    try:
        return HttpAnswer(opener.open(plain, timeout=settings.read_timeout_s))
    except HTTPError as error:
        error.close()
        raise SourceUnreachableError(f"source: {host} answers {error.code} {error.reason}") from error
    except URLError as error:
        raise SourceUnreachableError(f"source: {host} does not answer: {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise SourceUnreachableError(f"source: {host} does not answer: {error}") from error


class MjpegSource:
    """Pictures of one multipart answer; an `ArrivingSource`.

    A JPEG no wider than wanted is handed on byte for byte; a wider one is decoded, at a fraction of its size where that
    is still wide enough, and scaled down.
    """

    live = True

    def __init__(self, answer: HttpAnswer, settings: SourceSettings) -> None:
        self._answer = answer
        self._width = settings.width
        self._pacer = Pacer(settings.fps)
        self._waiting: deque[tuple[float, bytes]] = deque()
        if not answer.boundary:
            answer.close()
            raise NotAVideoError("source: a multipart answer without a boundary")
        self._parser = MultipartParser(answer.boundary, jpeg.MAX_BYTES)
        self._inspector = jpeg.Inspector()
        self._untouched = False
        self._socket: socket.socket | None = None
        self._awaited = 1

    @property
    def shareable(self) -> bool:
        """Whether pictures pass untouched, and none that was read is waiting."""
        return self._answer.bare and self._untouched and not self._waiting

    def read(self) -> SourceFrame | None:
        """Wait for the next wanted picture; see `FrameSource`."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._waiting:
            if time.monotonic() > deadline:
                return None
            self._receive()
        at, body = self._waiting.popleft()
        return self._frame(at, body)

    def fileno(self) -> int:
        """Give the connection's descriptor; see `ArrivingSource`."""
        if self._socket is None:
            # The library has read more than the head only if that came with it, and its first `read1` gave that away.
            self._socket = socket.socket(fileno=os.dup(self._answer.response.fileno()))
            self._socket.setblocking(False)
        return self._socket.fileno()

    def arrived(self, buffer: memoryview) -> Arrivals:
        """Take what has come; see `ArrivingSource`."""
        if self._socket is None:
            raise ValueError("nobody has waited for fileno()")
        try:
            count = self._socket.recv_into(buffer)
        except BlockingIOError:
            return Arrivals()
        except OSError as error:
            raise SourceUnreachableError("source: the stream broke off") from error
        if not count:
            raise SourceUnreachableError("source: the server ended the stream")
        at = time.time()
        frames, broken = [], 0
        for body in self._parser.feed(buffer[:count]):
            if self._pacer.keep(at):
                try:
                    frames.append(self._frame(at, body))
                except FrameRejectedError:
                    broken += 1
        self._await(self._parser.missing)
        return Arrivals(tuple(frames), broken, count < len(buffer))

    def close(self) -> None:
        """Hang up."""
        self._answer.close()
        if self._socket is not None:
            self._socket.close()

    def _frame(self, at: float, body: bytes) -> SourceFrame:
        frame = frame_of(body, at, self._width, self._inspector.inspect)
        self._untouched = frame.jpeg is not None
        return frame

    def _await(self, size: int) -> None:
        """Have the socket become readable only once so many bytes are there: one waking for a picture, not dozens."""
        if self._socket is not None and size != self._awaited:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._awaited = size

    def _receive(self) -> None:
        self._await(1)
        try:
            data = self._answer.response.read1(_CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise SourceUnreachableError("source: the stream broke off or fell silent") from error
        if not data:
            raise SourceUnreachableError("source: the server ended the stream")
        for body in self._parser.feed(data):
            now = time.time()
            if self._pacer.keep(now):
                self._waiting.append((now, body))


def frame_of(data: bytes, at: float, width: int, inspect: _Inspect = jpeg.inspect) -> SourceFrame:
    """Make a frame of a JPEG: untouched where it is at most ``width`` px wide, else decoded and scaled.

    Raises:
        FrameRejectedError: It is none, or may not be decoded.
    """
    info = inspect(data)
    if info.width <= width:
        return SourceFrame(at, info.width, info.height, jpeg=data)
    reduce = next((factor for factor in (8, 4, 2) if info.width // factor >= width), 1)
    image = jpeg.decode(data, reduce, info)
    image = picture.fit(image, width)  # here, so that nobody holds the larger one while it waits
    return SourceFrame(at, image.shape[1], image.shape[0], image)
