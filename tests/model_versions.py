"""Version folders for tests: the bundled release under another name, or harmed in a known way."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.models.manifest import Kind, bundled


def make_version(folder: Path, version: str = "7", kind: Kind = "detector", **changes: Any) -> Path:
    """Copy the bundled version under another name; ``changes`` replace keys of its manifest."""
    made = folder / f"{kind}-{version.replace('/', '_')}-made"
    shutil.copytree(bundled(kind), made)
    return edit_manifest(made, lambda manifest: manifest | {"version": version} | changes)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Rewrite a version's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")
    return folder


def replace_weights(folder: Path, content: bytes) -> Path:
    """Give a version other weights and a manifest that promises just these."""
    (folder / "weights.safetensors").write_bytes(content)
    promised = {"file": "weights.safetensors", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return edit_manifest(folder, lambda old: old | {"blobs": old["blobs"] | {"safetensors": promised}})


def edit_header(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Rewrite the header of a version's weights, and have its manifest promise the result."""
    data = (folder / "weights.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(change(json.loads(data[8 : 8 + length]))).encode()
    return replace_weights(folder, struct.pack("<Q", len(header)) + header + data[8 + length :])
