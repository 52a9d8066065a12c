"""Messages survive the wire, and a foreign one is told apart with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import schema
from common.errors import WireError

HEADER = schema.FrameHeader(session=1700000000000, seq=7, captured_at=1700000001.5, width=640, height=480)
MARK = schema.CameraMark(
    session=1, next_seq=3, at=2.0, state=schema.CameraState.FROZEN, since=1.0, dropped={"motion": 4}, final=True
)
FACE = schema.FaceReading(box=(0.1, 0.2, 0.3, 0.4), score=0.9, probabilities=(0.7, 0.2, 0.1))
RESULT = schema.FrameResult(
    camera="gate-1",
    session=1,
    seq=2,
    frame_id="1700000001600-0",
    outcome=schema.Outcome.OK,
    captured_at=1.0,
    published_at=1.1,
    inferred_at=1.2,
    width=640,
    height=480,
    faces=(FACE,),
)


@pytest.mark.parametrize("message", [HEADER, MARK])
def test_a_frame_message_reads_back_as_it_was_written(message: schema.FrameHeader | schema.CameraMark) -> None:
    assert schema.read_frame_message(schema.encode(message)) == message


@pytest.mark.parametrize("message", [RESULT, schema.MarkResult(camera="gate-1", mark=MARK)])
def test_a_result_reads_back_as_it_was_written(message: schema.FrameResult | schema.MarkResult) -> None:
    assert schema.read_result(schema.encode(message)) == message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "version"),
        ({"seq": -1}, "schema"),
        ({"width": 0}, "schema"),
        ({"captured_at": "NaN"}, "schema"),
        ({"kind": "parcel"}, "schema"),
        ({"colour": "red"}, "schema"),
    ],
)
def test_a_foreign_message_is_refused_with_its_reason(change: dict[str, object], reason: str) -> None:
    raw = json.dumps(json.loads(schema.encode(HEADER)) | change).encode()
    with pytest.raises(WireError) as caught:
        schema.read_frame_message(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("raw", [b"", b"\xff\xd8\xff", b"[]", b"null", b'{"kind":"frame"}', b"{" * 5000])
def test_bytes_that_are_no_message_are_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        schema.read_frame_message(raw)
    with pytest.raises(WireError):
        schema.read_result(raw)


def test_a_refusal_never_repeats_the_value() -> None:
    raw = schema.encode(HEADER).replace(b"640", b'"SECRET"')
    with pytest.raises(WireError) as caught:
        schema.read_frame_message(raw)
    assert "SECRET" not in str(caught.value)


@given(
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.floats(0, 1e11, allow_nan=False),
    st.integers(1, 16384),
    st.text("0123456789abcdef-", min_size=1, max_size=64),
)
def test_the_light_form_of_a_header_is_the_same_to_the_byte(
    session: int, seq: int, at: float, side: int, traceparent: str
) -> None:
    facts = schema.FrameFacts(session, seq, at, side, side, traceparent)
    header = schema.FrameHeader(**facts._asdict())
    assert schema.read_frame_message(schema.encode_frame(facts)) == header
    if at == 0 or 1e-4 <= at < 1e11:
        assert schema.encode_frame(facts) == schema.encode(header)
