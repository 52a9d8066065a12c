"""The trace of a frame, from the producer's header to the event."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from common.trace import traceparent_of

FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00")


@given(st.text(max_size=63), st.integers(0, 2**53), st.integers(0, 2**53))
def test_it_has_the_form_that_w3c_gives(camera: str, session: int, seq: int) -> None:
    assert FORM.fullmatch(traceparent_of(camera, session, seq))


def test_each_frame_has_its_own_and_a_repeat_has_the_same() -> None:
    made = {traceparent_of(camera, session, seq) for camera in "ab" for session in (1, 2) for seq in range(50)}
    assert len(made) == 200
    assert traceparent_of("a", 1, 0) in made
