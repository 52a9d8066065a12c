"""The trace of a frame, from the producer's header to the event."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from common.trace import Trace, read_trace, traceparent_of

FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00")


@given(st.text(max_size=63), st.integers(0, 2**53), st.integers(0, 2**53))
def test_it_has_the_form_that_w3c_gives(camera: str, session: int, seq: int) -> None:
    assert FORM.fullmatch(traceparent_of(camera, session, seq))


def test_each_frame_has_its_own_and_a_repeat_has_the_same() -> None:
    made = {traceparent_of(camera, session, seq) for camera in "ab" for session in (1, 2) for seq in range(50)}
    assert len(made) == 200
    assert traceparent_of("a", 1, 0) in made


@given(st.integers(0, 2**53), st.floats(0, 1))
def test_the_ratio_flags_the_frames_that_opentelemetry_would_sample(seq: int, ratio: float) -> None:
    """And changes nothing else of the name."""
    named = traceparent_of("gate-1", 7, seq, ratio)
    trace = read_trace(named)
    assert trace is not None
    wanted = TraceIdRatioBased(ratio).should_sample(None, trace.trace_id, "x").decision is Decision.RECORD_AND_SAMPLE
    assert trace.sampled == wanted
    assert named[:-2] == traceparent_of("gate-1", 7, seq)[:-2]


def test_the_ratio_is_the_share_of_frames() -> None:
    flagged = sum(traceparent_of("gate-1", 7, seq, 0.1).endswith("01") for seq in range(5000))
    assert 400 < flagged < 600


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "01-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
    ],
)
def test_what_is_no_trace_of_this_version_is_none(text: str | None) -> None:
    assert read_trace(text) is None


def test_a_trace_is_read_as_it_is_written_and_followed_in_the_same_trace() -> None:
    trace = Trace(0xABC, 0x123, sampled=True)
    assert read_trace(trace.text()) == trace
    after = trace.next()
    assert (after.trace_id, after.sampled) == (trace.trace_id, True)
    assert after.span_id not in (0, trace.span_id)
    assert read_trace(trace.text()[:-2] + "03") == trace
