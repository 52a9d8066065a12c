"""How a frame ended, and the message that says so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from common.models.manifest import ModelVersion
from common.schema import FaceReading, FrameResult, MarkResult, ModelRef, Outcome, encode
from workers.infer.arrivals import Frame, Mark

STALE, OVERTAKEN = "stale", "overload"
"""Why a frame was skipped: too old; or newer ones of its camera were waiting and there was no time for all."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A frame with what became of it.

    Attributes:
        frame: The frame.
        outcome: How it ended.
        reason: Metric label for everything but ``ok``.
        faces: What was seen.
        size: True (width, height), px, where it was decoded.
    """

    frame: Frame
    outcome: Outcome
    reason: str = ""
    faces: tuple[FaceReading, ...] = ()
    size: tuple[int, int] | None = None


def ref_of(version: ModelVersion) -> ModelRef:
    """Name a model version the way results carry it."""
    manifest = version.manifest
    return ModelRef(name=manifest.name, version=manifest.version, digest=manifest.blobs["safetensors"].sha256[:12])


@dataclass(frozen=True, slots=True)
class Signature:
    """Who speaks: stamped into every result."""

    worker: str
    backend: str
    detector: ModelRef
    classifier: ModelRef


class Reporter:
    """Writes results in this worker's name.

    Attributes:
        now: Gives broker seconds.

    Args:
        signature: Who speaks.
        broker_now: Gives broker seconds.
    """

    def __init__(self, signature: Signature, broker_now: Callable[[], float]) -> None:
        self.now = broker_now
        self._signature = signature

    def result(self, finished: Finished) -> tuple[int, bytes]:
        """Write a frame's result: its partition and its bytes on the wire."""
        frame, header, who = finished.frame, finished.frame.header, self._signature
        width, height = finished.size or (header.width, header.height)
        looked_at = finished.outcome is Outcome.OK
        message = FrameResult(
            camera=frame.camera,
            session=header.session,
            seq=header.seq,
            frame_id=frame.entry.entry_id,
            outcome=finished.outcome,
            reason=finished.reason,
            captured_at=header.captured_at,
            published_at=frame.published_at,
            inferred_at=self.now(),
            width=width,
            height=height,
            faces=finished.faces,
            detector=who.detector if looked_at else None,
            classifier=who.classifier if looked_at else None,
            backend=who.backend if looked_at else "",
            worker=who.worker,
            traceparent=header.traceparent,
        )
        return frame.entry.partition, encode(message)

    def mark(self, mark: Mark) -> tuple[int, bytes]:
        """Hand a producer's mark on: its partition and its bytes on the wire."""
        return mark.entry.partition, encode(MarkResult(camera=mark.entry.camera, mark=mark.mark))


def letter_of(frame: Frame, reason: str, worker: str) -> dict[str, str | bytes]:
    """Write the note on a frame that was given up: what it was, never what it showed."""
    return {
        "camera": frame.camera,
        "entry_id": frame.entry.entry_id,
        "session": str(frame.header.session),
        "seq": str(frame.header.seq),
        "reason": reason,
        "deliveries": str(frame.entry.deliveries),
        "bytes": str(len(frame.jpeg)),
        "sha256": hashlib.sha256(frame.jpeg).hexdigest(),
        "worker": worker,
    }
