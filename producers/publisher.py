"""One camera's frames and marks on their way to the broker: scaled, encoded, numbered, counted."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from common import jpeg
from common.errors import FrameRejectedError
from common.schema import CameraMark, FrameFacts, encode, encode_frame
from common.siteplan import Camera
from common.spans import Span, Told
from common.trace import read_trace, traceparent_of
from producers import picture
from producers.ledger import Drop, Ledger
from producers.link import BrokerLink
from producers.picture_state import Condition
from producers.sources.source import SourceFrame

LARGEST_BATCH = 16


@dataclass(frozen=True, slots=True)
class Parcel:
    """A frame ready to go.

    Attributes:
        captured_at: s since the epoch.
        width: px.
        height: px.
        jpeg: The picture.
    """

    captured_at: float
    width: int
    height: int
    jpeg: bytes


class FramePublisher:
    """Numbers a camera's frames from 0 without gaps: a number is used up only where the frame may have been written.

    Args:
        camera: Its part of the plan.
        link: The broker.
        ledger: The camera's books.
        session: Wall clock, ms; names this run of numbers.
        max_age_s: Age at which frames are no longer looked at, s.
    """

    def __init__(self, camera: Camera, link: BrokerLink, ledger: Ledger, session: int, max_age_s: float) -> None:
        self._camera = camera
        self._link = link
        self._ledger = ledger
        self.session = session
        self.next_seq = 0
        self.maxlen = math.ceil(camera.fps * max_age_s) + 2 * LARGEST_BATCH

    def pack(self, frame: SourceFrame) -> Parcel | Drop:
        """Make the JPEG, or say why there is none; the frame's own JPEG is taken where it is no wider than wanted."""
        if frame.jpeg is not None and frame.width <= self._camera.width:
            return Parcel(frame.captured_at, frame.width, frame.height, frame.jpeg)
        try:
            image = frame.image if frame.image is not None else jpeg.decode(frame.jpeg or b"")
            image = picture.fit(image, self._camera.width)
            data = jpeg.encode(image, self._camera.jpeg_quality)
        except FrameRejectedError:
            return Drop.ENCODE
        if len(data) > jpeg.MAX_BYTES:
            return Drop.TOO_LARGE
        return Parcel(frame.captured_at, image.shape[1], image.shape[0], data)

    def send(self, parcel: Parcel) -> Drop | None:
        """Send a frame; None where it counts as published. The caller enters a drop in the books."""
        tracing, camera = self._link.tracing, self._camera.id
        ratio = tracing.ratio if tracing.allows(camera) else 0.0
        facts = FrameFacts(
            session=self.session,
            seq=self.next_seq,
            captured_at=parcel.captured_at,
            width=parcel.width,
            height=parcel.height,
            traceparent=traceparent_of(camera, self.session, self.next_seq, ratio),
        )
        refused = self._link.send(camera, encode_frame(facts), parcel.jpeg, self.maxlen)
        if refused is None:
            self.next_seq += 1
            self._ledger.publish()
            if ratio:
                self._tell(facts)
        return refused

    def _tell(self, frame: FrameFacts) -> None:
        trace = read_trace(frame.traceparent)
        if trace is None or not trace.sampled:
            return
        facts: dict[str, Told] = {"maskwatch.camera": self._camera.id, "maskwatch.seq": frame.seq}
        self._link.tracing.tell(Span("frame published", "producer", trace, 0, frame.captured_at, time.time(), facts))

    def mark(self, condition: Condition, word: Word) -> bool:
        """Send a word on the camera; False where the broker did not take it, so that it must be said again."""
        mark = CameraMark(
            session=self.session,
            next_seq=self.next_seq,
            at=word.at,
            state=condition.state,
            since=word.since,
            cause=condition.cause[:200],
            last_frame_at=word.last_frame_at,
            fps=round(word.fps, 3),
            dropped=dict(self._ledger.dropped),
            final=word.final,
        )
        return self._link.send(self._camera.id, encode(mark), None, self.maxlen) is None


@dataclass(frozen=True, slots=True)
class Word:
    """What a mark says besides the state.

    Attributes:
        at: Now, s since the epoch.
        since: When the state began, s since the epoch.
        last_frame_at: When the last frame was taken, s since the epoch; None before the first.
        fps: Frames a second taken of late.
        final: Nothing follows.
    """

    at: float
    since: float
    last_frame_at: float | None = None
    fps: float = 0.0
    final: bool = False
