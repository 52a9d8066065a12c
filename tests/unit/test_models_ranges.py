"""Ranges survive their way through a file, and damaged ones are refused by name."""

from __future__ import annotations

import pytest

from common.errors import ManifestError
from common.models.ranges import read_ranges, write_ranges


def test_what_was_written_is_read_to_five_digits() -> None:
    text = write_ranges({"b": (-1.234567, 2.0), "a": (0.0, 0.000123456)})
    assert text == '{"a":[0.0,0.00012346],"b":[-1.2346,2.0]}'
    assert read_ranges(text) == {"a": (0.0, 0.00012346), "b": (-1.2346, 2.0)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Invalid JSON"),
        ('{"a": [0]}', "a"),
        ('{"a": [0, "x"]}', "a.1"),
        ('{"a": [0, 1e999]}', "a.1"),
        ('{"a": [1, 2]}', r"a: \[1, 2\] is no range around 0"),
        ('{"a": [0, 0]}', r"a: \[0, 0\] is no range around 0"),
        ('{"a": [2, -1]}', "a: .* is no range around 0"),
        ('{"": [0, 1]}', "at least 1 character"),
        ("[]", "all: Input should be an object"),
    ],
)
def test_anything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=f"maskwatch.ranges: .*{words}"):
        read_ranges(text)
