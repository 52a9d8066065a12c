"""Which addresses a webhook may go to: a name is resolved, checked and then connected to by its address."""

from __future__ import annotations

import ipaddress
import socket

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """A name leads to an address that may not be connected to."""


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Look a host up and give the addresses that may be connected to, best first.

    Raises:
        OSError: The name has no address.
        RefusedAddressError: One of its addresses is private and that is not allowed. One is enough to refuse: who can
            make a name point to both could choose which of them is taken.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for address in addresses:
        if trouble := objection(address, allow_private=allow_private):
            raise RefusedAddressError(trouble)
    return addresses


def objection(address: str, *, allow_private: bool) -> str:
    """Say why an address may not be connected to; empty where it may."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address} is no address"
    inner = _inner(parsed)
    if inner.is_multicast or inner.is_unspecified:
        return f"{address} is no single host"
    if allow_private or (inner.is_global and not inner.is_reserved):
        return ""
    return f"{address} is not a public address; if that is meant, set allow_private: true"


def literal(host: str) -> str | None:
    """Give the address that a host name is by its very form; None where it has to be looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 one stands for, where it does; a gateway would unpack it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None) or address
