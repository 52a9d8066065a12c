"""Cuts a multipart/x-mixed-replace body (RFC 2046) into its parts as it arrives; knows nothing of networks."""

from __future__ import annotations

import re

from common.errors import NotAVideoError

_MAX_HEAD_BYTES = 16 << 10
_BLANKS = (b"\r\n\r\n", b"\n\n")
_LENGTH = re.compile(rb"^[ \t]*content-length[ \t]*:[ \t]*(\d{1,12})\d*[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class MultipartParser:
    """Takes bytes in pieces of any size and gives whole parts.

    Cameras disagree on details: the boundary with or without its dashes, with or without Content-Length, line ends of
    one byte or two. All of these are read.

    Args:
        boundary: From the Content-Type.
        max_part_bytes: A larger part ends the stream.
    """

    def __init__(self, boundary: str, max_part_bytes: int) -> None:
        self._mark = b"--" + boundary.strip().strip('"').removeprefix("--").encode("latin-1", "replace")
        self._most = max_part_bytes
        self._buffer = bytearray()
        self._length: int | None = None
        self._in_body = False
        self._searched = 0

    @property
    def missing(self) -> int:
        """How many bytes the next part lacks at least, 1 or more."""
        if not self._in_body or self._length is None:
            return 1
        return max(1, self._length - len(self._buffer))

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Take in bytes and give the bodies of the parts they complete.

        Raises:
            NotAVideoError: A part larger than allowed, or no part where one must be; nothing more can be read.
        """
        self._buffer += data
        parts: list[bytes] = []
        while True:
            part = self._take_body() if self._in_body else self._take_head()
            if part is None:
                return parts
            if part:
                parts.append(part)

    def _take_head(self) -> bytes | None:
        """Pass over boundary and headers: empty bytes once done, None while incomplete."""
        start = self._buffer.find(self._mark)
        if start < 0:
            self._refuse_above(_MAX_HEAD_BYTES, "no boundary where a part must begin")
            return None
        ends = [(at, len(blank)) for blank in _BLANKS if (at := self._buffer.find(blank, start)) >= 0]
        if not ends:
            self._refuse_above(start + _MAX_HEAD_BYTES, "a part's headers do not end")
            return None
        at, blank = min(ends)
        self._length = _content_length(bytes(self._buffer[start:at]))
        if self._length is not None and self._length > self._most:
            raise NotAVideoError(f"source: a picture of {self._length} bytes, at most {self._most} are read")
        del self._buffer[: at + blank]
        self._in_body, self._searched = True, 0
        return b""

    def _take_body(self) -> bytes | None:
        if self._length is not None:
            if len(self._buffer) < self._length:
                return None
            end = self._length
        else:
            end = self._buffer.find(self._mark, max(0, self._searched - len(self._mark)))
            if end < 0:
                self._searched = len(self._buffer)
                self._refuse_above(self._most, f"a picture of more than {self._most} bytes")
                return None
        with memoryview(self._buffer) as whole:
            body = bytes(whole[:end])
        del self._buffer[:end]
        self._in_body = False
        return body if self._length is not None else body.rstrip(b"\r\n")

    def _refuse_above(self, limit: int, complaint: str) -> None:
        if len(self._buffer) > limit:
            raise NotAVideoError(f"source: {complaint}")


def _content_length(head: bytes) -> int | None:
    found = _LENGTH.search(head)
    return None if found is None else int(found[1])
