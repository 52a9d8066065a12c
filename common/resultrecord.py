"""Results in the light form in which the judge reads them: the same fields and the same limits as `common.schema`.

The judge reads every result of a site. `read_record` takes a third of the time of `common.schema.read_result`, which
stays the contract: whatever is not plainly one of our own results is left to it, with its errors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from common.schema import FaceReading, FrameResult, MarkResult, ModelRef, Outcome, read_result

_OURS = b'{"v":1,"kind":"result",'  # how `encode` begins every result; a mark or a stranger begins otherwise

_UnixSeconds = Annotated[float, Meta(ge=0, le=1e11)]
_Probability = Annotated[float, Meta(ge=0, le=1)]
_Relative = Annotated[float, Meta(ge=-1, le=2)]
_Pixels = Annotated[int, Meta(ge=1, le=16384)]
_Counter = Annotated[int, Meta(ge=0, le=2**53)]


class _Record(Struct, frozen=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """What all records have in common: nothing can be changed, and nothing unknown is taken."""


class NoteRecord(_Record, frozen=True):
    """A `common.schema.PictureNote`."""

    kinds: Annotated[tuple[Literal["snapshot", "crop"], ...], Meta(min_length=1, max_length=2)]
    width: _Pixels
    height: _Pixels
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    blurred: bool = False


class FaceRecord(_Record, frozen=True):
    """A `common.schema.FaceReading`."""

    box: tuple[_Relative, _Relative, _Relative, _Relative]
    score: _Probability
    probabilities: tuple[_Probability, _Probability, _Probability]
    landmarks: tuple[tuple[_Relative, _Relative], ...] = ()
    blur: Annotated[float, Meta(ge=0)] | None = None
    picture: NoteRecord | None = None


class ModelRecord(_Record, frozen=True):
    """A `common.schema.ModelRef`."""

    name: Annotated[str, Meta(max_length=100)]
    version: Annotated[str, Meta(max_length=100)]
    digest: Annotated[str, Meta(max_length=80)]


class ResultRecord(_Record, frozen=True):
    """A `common.schema.FrameResult`."""

    kind: Literal["result"]
    camera: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,62}\Z")]
    session: _Counter
    seq: _Counter
    frame_id: Annotated[str, Meta(pattern=r"\A[0-9]+-[0-9]+\Z", max_length=42)]
    outcome: Outcome
    captured_at: _UnixSeconds
    published_at: _UnixSeconds
    inferred_at: _UnixSeconds
    width: _Pixels
    height: _Pixels
    v: Literal[1] = 1
    reason: Annotated[str, Meta(max_length=60)] = ""
    faces: tuple[FaceRecord, ...] = ()
    detector: ModelRecord | None = None
    classifier: ModelRecord | None = None
    backend: Annotated[str, Meta(max_length=60)] = ""
    worker: Annotated[str, Meta(max_length=120)] = ""
    traceparent: Annotated[str, Meta(max_length=64)] | None = None


Result = FrameResult | ResultRecord
Face = FaceReading | FaceRecord
Model = ModelRef | ModelRecord

_decode = Decoder(ResultRecord).decode


def read_record(raw: bytes) -> ResultRecord | FrameResult | MarkResult:
    """Read an entry of a result stream.

    Args:
        raw: UTF-8 JSON.

    Returns:
        A record where the entry is a result as we write it, else what `common.schema.read_result` makes of it.

    Raises:
        WireError: Not one of our messages; the entry is untouched and can be counted and passed over.
    """
    if raw.startswith(_OURS):
        try:
            return _decode(raw)
        except (DecodeError, UnicodeDecodeError):
            pass
    return read_result(raw)


def ref_of(model: Model | None) -> ModelRef | None:
    """Give a model version in the form in which events name it."""
    if not isinstance(model, ModelRecord):
        return model
    return ModelRef(name=model.name, version=model.version, digest=model.digest)
