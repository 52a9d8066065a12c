"""W3C trace context of a frame, so that a log line, an event and a receiver's own trace can be brought together.

Source: W3C Recommendation "Trace Context", 2021, section 3.2.
"""

from __future__ import annotations

import hashlib

_UNSAMPLED = "00"


def traceparent_of(camera: str, session: int, seq: int) -> str:
    """Name the trace of a frame; whoever knows the frame can work the name out again.

    Nothing is recorded here, so the flag says unsampled: a system behind may still decide to keep the trace.
    """
    digest = hashlib.blake2b(f"{camera}|{session}|{seq}".encode(), digest_size=24).hexdigest()
    return f"00-{digest[:32]}-{digest[32:]}-{_UNSAMPLED}"
