"""The caps on a safetensors file, checked on its bytes before any library parses it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from common.errors import ManifestError

MAX_HEADER_BYTES = 1_000_000
MAX_TENSORS = 2000


def check_safetensors_header(data: bytes, path: Path) -> dict[str, Any]:
    """Check the caps of a safetensors file without touching its tensors: header at most 1 MB, at most 2000 tensors.

    Returns:
        The header's entries by tensor name.

    Raises:
        ManifestError: The header is missing, too large, no JSON object, or lists too many tensors.
    """
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise ManifestError(f"{path}: a safetensors header of {length} bytes in a file of {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise ManifestError(f"{path}: the safetensors header is no JSON") from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ManifestError(f"{path}: the safetensors header is no list of at most {MAX_TENSORS} tensors")
    header.pop("__metadata__", None)
    return header
