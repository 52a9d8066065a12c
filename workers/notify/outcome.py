"""What became of one attempt to deliver an event, and what a way of delivering has to offer."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from common.subscription import Event


class Outcome(StrEnum):
    """What became of an attempt; the values are metric labels."""

    DELIVERED = "delivered"
    """The receiver said yes."""
    TIMEOUT = "timeout"
    """It did not answer in time."""
    UNREACHABLE = "unreachable"
    """No connection, or it broke; or the name has no address."""
    REFUSED_ADDRESS = "refused_address"
    """Its name leads to a private address, which is not allowed here; nothing was sent."""
    TLS = "tls"
    """Its certificate is not valid; nothing was sent."""
    REDIRECT = "redirect"
    """It pointed elsewhere, which is not followed."""
    HTTP_ERROR = "http_error"
    """It answered something else than 2xx, or something that is no HTTP."""
    GONE = "gone"
    """It answered 410: it wants no more, and gets none until the process is started again."""
    EXPIRED = "expired"
    """The event was tried for as long as it may be, and is given up."""
    FAULT = "fault"
    """This program failed; it is tried again."""


class Sender(Protocol):
    """One way to one receiver. Used by one thread, except for `cancel`."""

    def send(self, event: Event, now: float) -> Outcome:
        """Try once to deliver; takes at most the receiver's timeout. ``now`` is wall-clock time, s."""
        ...

    def cancel(self) -> None:
        """Cut an attempt that is under way short; any thread may call this."""
        ...

    def close(self) -> None:
        """Let go of the receiver."""
        ...
