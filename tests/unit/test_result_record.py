"""The judge's light reader takes nothing that the contract refuses, and reads what it takes as the contract does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import WireError
from common.resultrecord import ModelRecord, ResultRecord, read_record, ref_of
from common.schema import FaceReading, FrameResult, ModelRef, Outcome, PictureNote, encode, read_result
from tests.judge_scenes import a_face, a_mark, a_result

relative = st.floats(-1, 2)
share = st.floats(0, 1)
point = st.tuples(relative, relative)
notes = st.builds(
    PictureNote,
    kinds=st.sampled_from([("snapshot",), ("crop",), ("snapshot", "crop")]),
    width=st.integers(1, 16384),
    height=st.integers(1, 16384),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    blurred=st.booleans(),
)
faces = st.builds(
    FaceReading,
    box=st.tuples(relative, relative, relative, relative),
    score=share,
    probabilities=st.tuples(share, share, share),
    landmarks=st.one_of(st.just(()), st.tuples(point, point, point, point, point)),
    blur=st.none() | st.floats(0, 1e6),
    picture=st.none() | notes,
)
models = st.none() | st.builds(
    ModelRef, name=st.text(max_size=9), version=st.text(max_size=9), digest=st.text(max_size=9)
)
moment = st.floats(0, 1e11)
results = st.builds(
    FrameResult,
    camera=st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,62}\Z"),
    session=st.integers(0, 2**53),
    seq=st.integers(0, 2**53),
    frame_id=st.from_regex(r"\A[0-9]{1,20}-[0-9]{1,20}\Z"),
    outcome=st.sampled_from(Outcome),
    reason=st.text(max_size=60),
    captured_at=moment,
    published_at=moment,
    inferred_at=moment,
    width=st.integers(1, 16384),
    height=st.integers(1, 16384),
    faces=st.lists(faces, max_size=3).map(tuple),
    detector=models,
    classifier=models,
    worker=st.text(max_size=120),
    traceparent=st.none() | st.text(max_size=64),
)
NOTE = PictureNote(kinds=("snapshot", "crop"), width=160, height=200, sha256="0a" * 32)
FACE = a_face(0.5, 0.4, 0.1, "no_mask")
SAMPLES = [
    encode(a_result(3)),
    encode(a_result(4, [FACE, FACE.model_copy(update={"picture": NOTE, "landmarks": ((0.1, 0.2),) * 5})])),
    encode(a_result(5, traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-00", reason="é", worker="host/infer-0")),
]


def told(value: Any) -> Any:
    """Every field, by name, so that both forms can be compared."""
    if isinstance(value, tuple):
        return [told(one) for one in value]
    kind: Any = type(value)
    names: Any = getattr(kind, "__struct_fields__", None) or getattr(kind, "model_fields", ())
    return {name: told(getattr(value, name)) for name in names} or value


def outcome_of(read: Callable[[bytes], Any], raw: bytes) -> Any:
    """What a reader makes of some bytes: every field, or its refusal."""
    try:
        return told(read(raw))
    except WireError as error:
        return error.reason, str(error)


@settings(deadline=None, max_examples=40)
@given(results)
def test_a_result_reads_the_same_in_both_forms(result: FrameResult) -> None:
    raw = encode(result)
    record = read_record(raw)
    assert isinstance(record, ResultRecord)
    assert told(record) == told(read_result(raw))


@settings(deadline=None)
@given(
    st.sampled_from(SAMPLES), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3)
)
def test_a_damaged_result_is_taken_by_both_or_by_none(raw: bytes, damage: list[tuple[float, int]]) -> None:
    damaged = bytearray(raw)
    for where, byte in damage:
        damaged[24 + int(where * (len(raw) - 24))] = byte
    assert outcome_of(read_record, bytes(damaged)) == outcome_of(read_result, bytes(damaged))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"session": -1},
        {"session": 2**53 + 1},
        {"width": 0},
        {"height": 16385},
        {"captured_at": 1e12},
        {"camera": "gate-1\n"},
        {"camera": "Gate"},
        {"frame_id": "1-1\n"},
        {"frame_id": "1"},
        {"outcome": "lost"},
        {"reason": "x" * 61},
        {"extra": 1},
        {"faces": [{"box": [0, 0, 1], "score": 1, "probabilities": [1, 0, 0]}]},
        {"faces": [{"box": [0, 0, 1, 3], "score": 1, "probabilities": [1, 0, 0]}]},
        {"faces": [{"box": [0, 0, 1, 1], "score": 1.5, "probabilities": [1, 0, 0]}]},
        {"faces": [{"box": [0, 0, 1, 1], "score": 1, "probabilities": [1, 0, 0], "name": "x"}]},
        {"worker": None},
        {"detector": {"name": "d", "version": "1"}},
    ],
    ids=str,
)
def test_what_the_contract_refuses_is_refused_with_its_words(change: dict[str, Any]) -> None:
    raw = json.dumps(json.loads(encode(a_result(3))) | change, separators=(",", ":")).encode()
    with pytest.raises(WireError) as refused:
        read_result(raw)
    with pytest.raises(WireError) as light:
        read_record(raw)
    assert str(light.value) == str(refused.value)


def test_marks_and_results_written_otherwise_are_left_to_the_contract() -> None:
    assert read_record(encode(a_mark(1, 2))) == a_mark(1, 2)
    spaced = json.dumps(json.loads(encode(a_result(3)))).encode()
    assert read_record(spaced) == a_result(3)


def test_a_model_is_named_in_events_as_before() -> None:
    assert ref_of(ModelRecord("m", "1", "d")) == ModelRef(name="m", version="1", digest="d")
    assert ref_of(ModelRef(name="m", version="1", digest="d")) == ModelRef(name="m", version="1", digest="d")
    assert ref_of(None) is None
