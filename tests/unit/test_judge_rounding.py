"""Positions are rounded as the built-in rounds them, to the bit, halves and signed zeros included."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from workers.judge.rounding import five


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@given(st.floats(-100_000, 100_000))
@example(0.0)
@example(-0.0)
@example(-1e-9)
@example(0.000005)
@example(0.123455)
@example(-2.5e-5)
def test_it_is_the_built_in_to_the_bit(value: float) -> None:
    assert bits(five(value)) == bits(round(value, 5))


@given(st.integers(-(10**10), 10**10), st.integers(-3, 3))
def test_halves_and_their_neighbours_go_the_same_way(steps: int, ulps: int) -> None:
    value = (steps + 0.5) / 1e5
    value = struct.unpack("<d", struct.pack("<q", struct.unpack("<q", bits(value))[0] + ulps))[0] if value else value
    assert bits(five(value)) == bits(round(value, 5))
