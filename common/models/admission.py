"""What every version must pass before a registry takes it and before anybody uses a copy; none of it needs torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import ManifestError, VersionRefusedError
from common.models.architectures import CLASSES
from common.models.manifest import MANIFEST_NAME, MAX_BLOB_BYTES, MAX_MANIFEST_BYTES, Manifest
from common.models.registry import VersionSummary
from common.models.safetensors_header import check_safetensors_header
from common.models.signatures import MAX_SIGNATURE_BYTES, NO_TRUST, SIGNATURE_NAME, Signature, Trust, read_signature
from common.models.tensors import check_tensors
from common.models.versionref import VersionRef, check_name

CARD_NAME = "README.md"
RECORD_NAME = "record.json"
MAX_CARD_BYTES = 1_000_000
_OWN_NAMES = {MANIFEST_NAME, CARD_NAME.lower(), SIGNATURE_NAME, RECORD_NAME}
_MIN_ONNX_BYTES = 16


@dataclass(frozen=True, slots=True)
class Package:
    """A version that passed, with everything that is to be kept of it.

    Attributes:
        ref: Names it.
        manifest: What it is.
        files: File name to content; ``manifest.json`` in canonical form, so that its SHA-256 is the digest.
        signature: Who vouches for it.
    """

    ref: VersionRef
    manifest: Manifest
    files: dict[str, bytes]
    signature: Signature | None

    def summary(self, at_s: float) -> VersionSummary:
        """Give its line in a list of versions, published at ``at_s``, s since the epoch."""
        size = sum(len(content) for content in self.files.values())
        signed_by = self.signature.key if self.signature else ""
        return VersionSummary(self.ref, self.manifest.name, self.manifest.architecture, size, at_s, signed_by)


def examine(folder: Path, trust: Trust = NO_TRUST, expected: VersionRef | None = None) -> Package:
    """Read a version folder and check everything that can be told without computing with it.

    Order matters: sizes, then the manifest's own digest where one is expected, then the signature, then every blob's
    hash; only then is a blob looked into.

    Args:
        folder: ``manifest.json``, its blobs, and ``README.md`` and ``signature.json`` where there are any.
        trust: Whose signatures count.
        expected: What it must be; None where it is not known yet.

    Raises:
        VersionRefusedError: It did not pass; ``reason`` says in which respect.
    """
    raw = _read(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES, "manifest")
    if expected is not None and hashlib.sha256(raw).hexdigest() != expected.digest:
        raise VersionRefusedError("hash", f"{folder / MANIFEST_NAME}: not the manifest of {expected.label}")
    canonical, manifest = _read_manifest(raw, folder / MANIFEST_NAME)
    ref = VersionRef(manifest.kind, manifest.version, hashlib.sha256(canonical).hexdigest())
    if expected is not None and ref != expected:
        raise VersionRefusedError("manifest", f"{folder / MANIFEST_NAME}: of {ref.label} instead of {expected.label}")
    signature = _read_signature(folder)
    trust.check(ref, signature)
    files = {MANIFEST_NAME: canonical, **_read_blobs(folder, manifest)}
    if (folder / CARD_NAME).is_file():
        files[CARD_NAME] = _read(folder / CARD_NAME, MAX_CARD_BYTES, "size")
    if signature is not None:
        files[SIGNATURE_NAME] = signature.to_bytes()
    return Package(ref, manifest, files, signature)


def read_published(raw: bytes, ref: VersionRef) -> Manifest:
    """Read a manifest that must be that of ``ref``.

    Raises:
        VersionRefusedError: It is not.
    """
    if hashlib.sha256(raw).hexdigest() != ref.digest:
        raise VersionRefusedError("hash", f"what is stored is not the manifest of {ref.label}")
    return _read_manifest(raw, Path(ref.label))[1]


def canonical_form(raw: bytes) -> bytes:
    """Write a JSON object so that the same content has the same bytes: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: No JSON, or numbers that JSON does not know.
    """
    content = json.loads(raw, parse_constant=_no_constant)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _read_manifest(raw: bytes, path: Path) -> tuple[bytes, Manifest]:
    try:
        canonical = canonical_form(raw)
        content = json.loads(canonical)
        if not isinstance(content, dict):
            raise VersionRefusedError("manifest", f"{path}: no JSON object")
        check_name(str(content.get("kind", "")), str(content.get("version", "")))
        _check_classes(content, path)
        manifest = Manifest.model_validate_json(canonical)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        reason = "files" if (key or message).startswith("blobs") else "manifest"
        raise VersionRefusedError(reason, f"{path}: {f'{key}: ' if key else ''}{message}") from error
    except (ValueError, RecursionError) as error:
        raise VersionRefusedError("manifest", f"{path}: no JSON: {error}") from error
    return canonical, manifest


def _check_classes(content: dict[str, Any], path: Path) -> None:
    wanted = CLASSES[content["kind"]]
    found = content.get("classes")
    if found != list(wanted):
        raise VersionRefusedError("classes", f"{path}: classes are {str(found)[:200]} instead of {list(wanted)}")


def _read_signature(folder: Path) -> Signature | None:
    if not (folder / SIGNATURE_NAME).is_file():
        return None
    return read_signature(_read(folder / SIGNATURE_NAME, MAX_SIGNATURE_BYTES, "signature"))


def _read_blobs(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    names = [blob.file for blob in manifest.blobs.values()]
    if len({name.lower() for name in names} | _OWN_NAMES) != len(names) + len(_OWN_NAMES):
        raise VersionRefusedError("files", f"{folder}: two files of one name, or a blob named as a file of our own")
    blobs = {}
    for blob in manifest.blobs.values():
        content = _read(folder / blob.file, MAX_BLOB_BYTES, "files")
        if len(content) != blob.size or hashlib.sha256(content).hexdigest() != blob.sha256:
            words = f"{folder / blob.file}: {len(content)} bytes that are not the {blob.size} the manifest promises"
            raise VersionRefusedError("hash", words)
        blobs[blob.file] = content
    weights = manifest.blobs["safetensors"].file
    try:
        header = check_safetensors_header(blobs[weights], folder / weights)
    except ManifestError as error:
        raise VersionRefusedError("header", str(error)) from error
    check_tensors(manifest, header, blobs[weights])
    if len(blobs[manifest.blobs["onnx"].file]) < _MIN_ONNX_BYTES:
        raise VersionRefusedError("files", f"{folder / manifest.blobs['onnx'].file}: too short for a graph")
    return blobs


def _read(path: Path, most: int, reason: str) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise VersionRefusedError("files", f"{path}: no such file")
        size = path.stat().st_size
        if not 0 < size <= most:
            raise VersionRefusedError("size" if size else reason, f"{path}: {size} bytes; allowed are 1 to {most}")
        return path.read_bytes()
    except OSError as error:
        raise VersionRefusedError(reason, f"{path}: {error.strerror or error}") from error
