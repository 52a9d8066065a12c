"""What the convolutions of a network read, from least to most: kept in its ONNX file, to compute in 8 bits.

A network without them is served all the same, in the precision that the processor has otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import FiniteFloat, StringConstraints, TypeAdapter, ValidationError

from common.errors import ManifestError

METADATA_KEY = "maskwatch.ranges"
"""Key among the ONNX file's ``metadata_props``; the value is a JSON object: name of the node to [least, most]."""
Ranges = Mapping[str, tuple[float, float]]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_TABLE: TypeAdapter[dict[str, tuple[FiniteFloat, FiniteFloat]]] = TypeAdapter(
    dict[_Name, tuple[FiniteFloat, FiniteFloat]]
)


def write_ranges(ranges: Ranges) -> str:
    """Give the text that an ONNX file keeps: five digits, names in order."""
    rounded = {name: (float(f"{low:.5g}"), float(f"{high:.5g}")) for name, (low, high) in sorted(ranges.items())}
    return _TABLE.dump_json(rounded).decode()


def read_ranges(text: str) -> Ranges:
    """Read what `write_ranges` wrote.

    Raises:
        ManifestError: It is something else, or a range is empty or leaves out 0, with which convolutions pad.
    """
    try:
        ranges = _TABLE.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "all"
        raise ManifestError(f"{METADATA_KEY}: {place}: {first['msg']}") from error
    for name, (low, high) in ranges.items():
        if not low <= 0 <= high or low == high:
            raise ManifestError(f"{METADATA_KEY}: {name}: [{low:g}, {high:g}] is no range around 0")
    return ranges
