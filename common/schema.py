"""The wire contract between producers, infer and judge: every message as a strict, versioned pydantic model.

Bytes on the wire are UTF-8 JSON (plus the JPEG beside a frame's header). A message of another version, or with a field
that does not belong there, is a `WireError` and goes to the dead letters; nothing guesses.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.errors import WireError

SCHEMA_VERSION = 1

Label = Literal["mask", "no_mask", "incorrect"]
LABELS: tuple[Label, Label, Label] = ("mask", "no_mask", "incorrect")

UnixSeconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Relative = Annotated[float, Field(ge=-1, le=2, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=1, le=16384)]
Counter = Annotated[int, Field(ge=0, le=2**53)]
CameraId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class CameraState(StrEnum):
    """What is known of a camera's picture."""

    ONLINE = "online"
    """Frames arrive and can be judged."""
    OFFLINE = "offline"
    """No frames arrive."""
    FROZEN = "frozen"
    """Frames arrive, but always the same picture."""
    DARK = "dark"
    """Too dark to judge."""
    BLURRED = "blurred"
    """Too blurred to judge: out of focus, fogged or covered."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1


class FrameHeader(_Message):
    """Travels beside one JPEG. The camera is named by the stream's key, not here."""

    kind: Literal["frame"] = "frame"
    session: Counter
    """Wall clock in ms when the producer opened this run of sequence numbers."""
    seq: Counter
    """0, 1, 2, … over the published frames of the session."""
    captured_at: UnixSeconds
    """When the frame was taken, by the producer's clock."""
    width: Pixels
    height: Pixels
    traceparent: str | None = Field(default=None, max_length=64)


class FrameFacts(NamedTuple):
    """The light form of a `FrameHeader`, for who writes hundreds a second.

    Attributes:
        session: As there.
        seq: As there.
        captured_at: As there.
        width: As there.
        height: As there.
        traceparent: As there, but always given.
    """

    session: int
    seq: int
    captured_at: float
    width: int
    height: int
    traceparent: str


_FRAME = '{"v":1,"kind":"frame","session":%d,"seq":%d,"captured_at":%r,"width":%d,"height":%d,"traceparent":"%s"}'


class CameraMark(_Message):
    """A producer's word on a camera itself: on change, as a heartbeat, and at the end. Takes no sequence number."""

    kind: Literal["mark"] = "mark"
    session: Counter
    next_seq: Counter
    """The sequence number that the next frame will get, so that a lost tail shows as a gap."""
    at: UnixSeconds
    state: CameraState
    since: UnixSeconds
    cause: str = Field(default="", max_length=200)
    last_frame_at: UnixSeconds | None = None
    fps: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    dropped: dict[str, Counter] = Field(default_factory=dict, max_length=16)
    """Frames of this session captured but never published, by reason; totals, so that a lost mark costs nothing."""
    final: bool = False
    """The producer stops this session in order; nothing follows."""


class PictureNote(BaseModel):
    """Says that small pictures of a face lie on the frames broker; they are named by camera, session, seq and face."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[Literal["snapshot", "crop"], ...] = Field(min_length=1, max_length=2)
    """``snapshot``: the face and what is around it, everybody else made unrecognisable; ``crop``: the face alone."""
    width: Pixels
    """Of the snapshot, or of the crop where there is no snapshot."""
    height: Pixels
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    blurred: bool = False
    """Whether the face itself is unrecognisable, too."""


class FaceReading(BaseModel):
    """One face of one frame, as infer saw it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: tuple[Relative, Relative, Relative, Relative]
    """x1, y1, x2, y2 relative to the frame; slightly outside [0, 1] at the edges."""
    score: Probability
    probabilities: tuple[Probability, Probability, Probability]
    """In the order of `LABELS`."""
    landmarks: tuple[tuple[Relative, Relative], ...] = ()
    """Right eye, left eye, nose, right and left corner of the mouth, relative to the frame; or none."""
    blur: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Variance of the Laplacian over the face, as crops of 112 px show it; small is blurred."""
    picture: PictureNote | None = None
    """Where infer has left a picture of it, for at most half a minute unless an event names it."""


class ModelRef(BaseModel):
    """Which model version spoke."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=100)
    version: str = Field(max_length=100)
    digest: str = Field(max_length=80)


class Outcome(StrEnum):
    """How a published frame ended. Every one ends in exactly one of these, or as a gap that the judge counts."""

    OK = "ok"
    """Looked at; ``faces`` says what was seen."""
    SKIPPED = "skipped"
    """Older than the age limit when its turn came."""
    REJECTED = "rejected"
    """Its bytes may not be decoded."""
    DEAD = "dead"
    """It took its worker down, or failed, too often; its id is in the dead letters."""


class FrameResult(_Message):
    """What became of one published frame."""

    kind: Literal["result"] = "result"
    camera: CameraId
    session: Counter
    seq: Counter
    frame_id: str = Field(pattern=r"^\d+-\d+$", max_length=42)
    """Id of the frame's entry in its stream; its first part is broker time in ms."""
    outcome: Outcome
    reason: str = Field(default="", max_length=60)
    captured_at: UnixSeconds
    published_at: UnixSeconds
    """Broker time of the frame's entry."""
    inferred_at: UnixSeconds
    width: Pixels
    height: Pixels
    faces: tuple[FaceReading, ...] = ()
    detector: ModelRef | None = None
    classifier: ModelRef | None = None
    backend: str = Field(default="", max_length=60)
    worker: str = Field(default="", max_length=120)
    traceparent: str | None = Field(default=None, max_length=64)


class MarkResult(_Message):
    """A producer's mark, handed on to the judge in the order of the results."""

    kind: Literal["mark"] = "mark"
    camera: CameraId
    mark: CameraMark


FrameStreamMessage = Annotated[FrameHeader | CameraMark, Field(discriminator="kind")]
ResultMessage = Annotated[FrameResult | MarkResult, Field(discriminator="kind")]

_FRAME_STREAM: TypeAdapter[FrameHeader | CameraMark] = TypeAdapter(FrameStreamMessage)
_RESULTS: TypeAdapter[FrameResult | MarkResult] = TypeAdapter(ResultMessage)


def encode(message: BaseModel) -> bytes:
    """Turn a message into its bytes on the wire: compact UTF-8 JSON."""
    return message.model_dump_json(exclude_none=True).encode()


def encode_frame(facts: FrameFacts) -> bytes:
    """Write what `encode` makes of a `FrameHeader` with these values, to the byte, in a fifth of the time.

    They are not checked: this is for values that are right by the way they came about.
    """
    return (_FRAME % facts).encode()


def read_frame_message(raw: bytes) -> FrameHeader | CameraMark:
    """Read the header of a frame-stream entry.

    Raises:
        WireError: Not one of our messages; the entry is untouched and can be dead-lettered.
    """
    try:
        return _FRAME_STREAM.validate_json(raw)
    except ValidationError as error:
        raise _wire_error(error) from error


def read_result(raw: bytes) -> FrameResult | MarkResult:
    """Read an entry of a result stream.

    Raises:
        WireError: Not one of our messages; the entry is untouched and can be counted and passed over.
    """
    try:
        return _RESULTS.validate_json(raw)
    except ValidationError as error:
        raise _wire_error(error) from error


def _wire_error(error: ValidationError) -> WireError:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    reason = "version" if first["loc"] and first["loc"][-1] == "v" else "schema"
    return WireError(reason, f"{where}: {first['msg']}")
