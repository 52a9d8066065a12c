"""A knock at a camera's door: one TCP connection, far cheaper than a decoder that is opened in vain."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from common.errors import SourceUnreachableError

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def knock(source: str, timeout_s: float) -> None:
    """Make sure that something listens where a source says; sources without a host are let through.

    Args:
        source: URL of the site plan; the message names host and port of it, neither user nor password.
        timeout_s: Longest wait for each of the host's addresses, s.

    Raises:
        SourceUnreachableError: Nothing listens there.
    """
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return  # opening it says what is wrong with the URL
    if not host or port is None or parts.scheme.lower() not in _PORTS:
        return
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise SourceUnreachableError(f"source: {host}:{port} does not answer: {error.strerror or error}") from error
