"""Weights looked at without torch: do the tensors tile the file, are they the architecture's, are they finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import VersionRefusedError
from common.models.architectures import TENSOR_NAMES, names_digest
from common.models.manifest import Manifest

_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def check_tensors(manifest: Manifest, header: Mapping[str, Any], data: bytes) -> None:
    """Check the tensors of a safetensors file.

    Args:
        manifest: Says which architecture they must be of.
        header: The file's header by tensor name, as `check_safetensors_header` gives it.
        data: The whole file.

    Raises:
        VersionRefusedError: ``arch``: unknown architecture. ``tensors``: renamed, missing, overlapping or cut off
            tensors, or values that are not finite.
    """
    known = TENSOR_NAMES[manifest.kind]
    if manifest.architecture not in known:
        words = f"unknown {manifest.kind} architecture {manifest.architecture!r}; known: {', '.join(sorted(known))}"
        raise VersionRefusedError("arch", words)
    if names_digest(header) != known[manifest.architecture]:
        words = f"the {len(header)} tensors are not those of {manifest.architecture}: renamed, missing or added"
        raise VersionRefusedError("tensors", words)
    start = 8 + int.from_bytes(data[:8], "little")
    _check_tiling(header, len(data) - start)
    body = memoryview(data)[start:]
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if not _finite(entry["dtype"], body[begin:end]):
            raise VersionRefusedError("tensors", f"{name} holds values that are not finite")


def _check_tiling(header: Mapping[str, Any], size: int) -> None:
    spans = sorted((_span(name, entry), name) for name, entry in header.items())
    at = 0
    for (begin, end), name in spans:
        if begin != at:
            raise VersionRefusedError("tensors", f"{name} starts at byte {begin} where {at} is due")
        at = end
    if at != size:
        raise VersionRefusedError("tensors", f"the tensors end at byte {at} of {size}")


def _span(name: str, entry: Any) -> tuple[int, int]:
    try:
        size = _SIZES[entry["dtype"]] * math.prod(int(side) for side in entry["shape"])
        begin, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise VersionRefusedError("tensors", f"{name[:80]}: no tensor of a known type") from error
    if begin < 0 or end - begin != size:
        raise VersionRefusedError("tensors", f"{name[:80]}: {end - begin} bytes where its shape needs {size}")
    return begin, end


def _finite(dtype: str, part: memoryview) -> bool:
    if dtype == "BF16":
        exponents = np.frombuffer(part, "<u2") & 0x7F80
        return bool((exponents != 0x7F80).all())
    return dtype not in _FLOATS or bool(np.isfinite(np.frombuffer(part, _FLOATS[dtype])).all())
