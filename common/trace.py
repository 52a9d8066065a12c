"""W3C trace context of a frame, so that a log line, an event and a receiver's own trace can be brought together.

Source: W3C Recommendation "Trace Context", 2021, section 3.2.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
_LOW_BITS = 2**64


class Trace(NamedTuple):
    """Where somebody stands in a trace.

    Attributes:
        trace_id: Of the whole trace, 128 bits.
        span_id: Of the span that comes before, 64 bits.
        sampled: Whether who came before recorded that span.
    """

    trace_id: int
    span_id: int
    sampled: bool

    def text(self) -> str:
        """Write it as a ``traceparent``."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.sampled else '00'}"

    def next(self) -> Trace:
        """Name a span of one's own that follows, which one is going to record."""
        return Trace(self.trace_id, 1 + secrets.randbelow(_LOW_BITS - 1), sampled=True)


def read_trace(traceparent: str | None) -> Trace | None:
    """Read a ``traceparent``; None where there is none, or one of another form."""
    match = _FORM.fullmatch(traceparent or "")
    return match and Trace(int(match[1], 16), int(match[2], 16), bool(int(match[3], 16) & _SAMPLED))


def traceparent_of(camera: str, session: int, seq: int, ratio: float = 0.0) -> str:
    """Name the trace of a frame; whoever knows the frame can work the name out again.

    Args:
        camera: Camera id.
        session: Run of numbers.
        seq: The frame's number.
        ratio: Share of frames, 0 to 1, that are flagged as sampled, by the same rule as OpenTelemetry's
            ``TraceIdRatioBased``. Unsampled says only that nothing was recorded here: who comes later may decide anew.
    """
    name = hashlib.blake2b(f"{camera}|{session}|{seq}".encode(), digest_size=24).hexdigest()
    sampled = ratio > 0 and int(name[16:32], 16) < ratio * _LOW_BITS
    return f"00-{name[:32]}-{name[32:]}-{'01' if sampled else '00'}"
