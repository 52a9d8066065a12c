"""A knock at a camera's door: one TCP connection, far cheaper than a decoder that is opened in vain."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from common.errors import SourceUnreachableError

AT_ONCE_S = 0.05
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def knock(source: str, timeout_s: float) -> None:
    """Make sure that something listens where a source says; sources without a host are let through.

    Args:
        source: URL of the site plan; the message names host and port of it, neither user nor password.
        timeout_s: Longest wait for each of the host's addresses, s.

    Raises:
        SourceUnreachableError: Nothing listens there.
    """
    place = _place(source)
    if place is None:
        return
    try:
        socket.create_connection(place, timeout_s).close()
    except OSError as error:
        raise _unreachable(place, error) from error


def answers_at_once(source: str) -> bool:
    """Knock without waiting: an address, unlike a name, is mostly refused or taken within a millisecond.

    Returns:
        True where something listens; False where that is not known yet, so that `knock` must find out.

    Raises:
        SourceUnreachableError: The connection was refused.
    """
    place = _place(source)
    if place is None or not _is_address(place[0]):
        return False  # to look up a name may take seconds
    try:
        socket.create_connection(place, AT_ONCE_S).close()
    except TimeoutError:
        return False
    except OSError as error:
        raise _unreachable(place, error) from error
    return True


def _place(source: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return None  # opening it says what is wrong with the URL
    return (host, port) if host and port is not None and parts.scheme.lower() in _PORTS else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unreachable(place: tuple[str, int], error: OSError) -> SourceUnreachableError:
    return SourceUnreachableError(f"source: {place[0]}:{place[1]} does not answer: {error.strerror or error}")
