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
class Signature:
    """Who looked at a frame, and with what: stamped into its result."""

    worker: str
    backend: str
    detector: ModelRef
    classifier: ModelRef


@dataclass(frozen=True, slots=True)
class Finished:
    """A frame with what became of it.

    Attributes:
        frame: The frame.
        outcome: How it ended.
        reason: Metric label for everything but ``ok``.
        faces: What was seen.
        size: True (width, height), px, where it was decoded.
        by: Whose networks looked at it; none where nobody looked.
    """

    frame: Frame
    outcome: Outcome
    reason: str = ""
    faces: tuple[FaceReading, ...] = ()
    size: tuple[int, int] | None = None
    by: Signature | None = None


def ref_of(version: ModelVersion) -> ModelRef:
    """Name a model version the way results carry it."""
    manifest = version.manifest
    return ModelRef(name=manifest.name, version=manifest.version, digest=manifest.blobs["safetensors"].sha256[:12])


class Reporter:
    """Writes results in this worker's name.

    Attributes:
        now: Gives broker seconds.

    Args:
        worker: This worker's name.
        broker_now: Gives broker seconds.
    """

    def __init__(self, worker: str, broker_now: Callable[[], float]) -> None:
        self.now = broker_now
        self._worker = worker

    def result(self, finished: Finished, traceparent: str | None = None) -> tuple[int, bytes]:
        """Write a frame's result: its partition and its bytes on the wire; ``traceparent`` replaces its own."""
        frame, header = finished.frame, finished.frame.header
        width, height = finished.size or (header.width, header.height)
        by = finished.by if finished.outcome is Outcome.OK else None
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
            detector=by.detector if by else None,
            classifier=by.classifier if by else None,
            backend=by.backend if by else "",
            worker=self._worker,
            traceparent=traceparent or header.traceparent,
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
