"""A version is its manifest's bytes or it is nothing."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import BlobMismatchError, ManifestError, ProbeError
from common.models.manifest import Kind, bundled, load_version
from common.models.probe import Probe
from common.models.safetensors_header import check_safetensors_header

PROBE = load_version(bundled("detector"), "detector").manifest.probe.model_dump()
KINDS: tuple[Kind, ...] = ("detector", "classifier")


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled("detector"), tmp_path / "detector"))


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundled_release_is_what_its_manifest_says(kind: Kind) -> None:
    version = load_version(bundled(kind), kind)
    assert version.manifest.kind == kind
    assert version.manifest.identity.count(":") == 2


def test_the_bundled_release_stays_small() -> None:
    total = sum(blob.size for kind in KINDS for blob in load_version(bundled(kind), kind).manifest.blobs.values())
    assert total < 15_000_000


def test_importing_the_manifest_does_not_import_torch() -> None:
    import subprocess
    import sys

    modules = "common.models.manifest, common.models.decode, common.models.preprocess"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_flipped_byte_is_found_before_anything_is_parsed(detector: Path) -> None:
    path = detector / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BlobMismatchError, match=r"model\.onnx: sha256"):
        load_version(detector, "detector")


def test_a_truncated_blob_is_named_with_both_sizes(detector: Path) -> None:
    path = detector / "weights.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BlobMismatchError, match=rf"weights\.safetensors: {size - 100} bytes instead of {size}"):
        load_version(detector, "detector")


def test_a_missing_blob_is_named(detector: Path) -> None:
    (detector / "model.onnx").unlink()
    with pytest.raises(BlobMismatchError, match=r"model\.onnx: No such file"):
        load_version(detector, "detector")


def test_a_blob_that_changes_after_loading_is_not_handed_out(detector: Path) -> None:
    version = load_version(detector, "detector")
    path = version.onnx_path
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(BlobMismatchError):
        version.read("onnx")


def test_a_detector_is_no_classifier() -> None:
    with pytest.raises(ManifestError, match="kind is 'detector' where a 'classifier' is wanted"):
        load_version(bundled("detector"), "classifier")
    with pytest.raises(ManifestError, match="no crop side"):
        _ = load_version(bundled("detector"), "detector").classifier_input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blobz": {}}, "blobz"),
        ({"version": "../escape"}, "version"),
        ({"format": 2}, "format"),
        ({"temperature": 0}, "temperature"),
        ({"blobs": {"onnx": {"file": "../m.onnx", "sha256": "0" * 64, "size": 1}}}, "plain file name"),
        ({"glance": None}, "glance: the blob and what is said of it go together"),
        ({"quick": {"sure": 0.9, "probe": PROBE}}, "quick: the blob and what is said of it go together"),
        ({"glance": {"focus": 1.5, "probe": PROBE}}, r"glance\.focus"),
    ],
)
def test_a_wrong_manifest_is_refused_by_key(detector: Path, changes: dict[str, Any], words: str) -> None:
    edit(detector, **changes)
    with pytest.raises(ManifestError, match=words):
        load_version(detector, "detector")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b" " * 1_000_001])
def test_a_manifest_that_is_no_manifest_is_refused(detector: Path, content: bytes) -> None:
    (detector / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load_version(detector, "detector")


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        load_version(tmp_path, "detector")


def test_a_classifier_with_other_classes_is_refused(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundled("classifier"), tmp_path / "c"))
    edit(copy, classes=["no_mask", "mask", "incorrect"])
    with pytest.raises(ManifestError, match="classes"):
        load_version(copy, "classifier")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2_000_000) + b"{}" * 1_500_000,
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"{]{]",
    ],
)
def test_a_safetensors_header_beyond_its_caps_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="safetensors header"):
        check_safetensors_header(data, Path("w.safetensors"))


def test_too_many_tensors_are_refused() -> None:
    header = json.dumps({f"t{index}": {} for index in range(2001)}).encode()
    with pytest.raises(ManifestError, match="at most 2000"):
        check_safetensors_header(struct.pack("<Q", len(header)) + header, Path("w.safetensors"))


def probe(**changes: Any) -> Probe:
    facts: dict[str, Any] = {"seed": 1, "shape": (1, 4, 4, 3), "block": 2, "every": 1, "expected": [[0.5, 1.0]]}
    return Probe(**{**facts, "tolerance": 0.01, "tolerance_reduced": 0.1, **changes})


def test_the_probe_asks_the_same_question_for_ever() -> None:
    pixels = probe().pixels()
    assert pixels.shape == (1, 4, 4, 3)
    assert pixels[0, ::2, ::2].ravel().tolist() == [166, 104, 95, 59, 98, 213, 123, 252, 73, 53, 38, 49]
    assert (pixels[0, 1] == pixels[0, 0]).all()


@pytest.mark.parametrize(
    ("answer", "words"),
    [([[0.5, 1.2]], "off by"), ([[0.5, float("nan")]], "not finite"), ([[0.5]], "shape"), ([[0.5, 1.0]] * 2, "shape")],
)
def test_a_wrong_answer_to_the_probe_is_refused(answer: list[list[float]], words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        probe().check(np.array(answer))


def test_half_precision_is_given_more_room() -> None:
    answer = np.array([[0.5, 1.1]])
    probe().check(answer, reduced=True)
    with pytest.raises(ProbeError):
        probe().check(answer)
