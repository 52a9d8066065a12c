"""A version that could harm or mislead is refused, with the reason, before anything of it is used."""

from __future__ import annotations

import json
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import VersionRefusedError
from common.models.admission import canonical_form, examine
from common.models.architectures import TENSOR_NAMES, names_digest
from common.models.manifest import LABELS, bundled
from common.models.versionref import VersionRef
from tests.model_versions import edit_header, edit_manifest, make_version, replace_weights


def refused(folder: Path, *, expected: VersionRef | None = None) -> VersionRefusedError:
    with pytest.raises(VersionRefusedError) as caught:
        examine(folder, expected=expected)
    return caught.value


@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_the_bundled_release_passes(kind: Any) -> None:
    package = examine(bundled(kind))
    assert package.ref.kind == kind
    beside = {"detector": "glance.onnx", "classifier": "quick.onnx"}[kind]
    assert set(package.files) == {"manifest.json", "README.md", "model.onnx", "weights.safetensors", beside}
    assert examine(bundled(kind)).ref == package.ref


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("../7", "a name, not a path"),
        ("..", "a name, not a path"),
        ("a/b", "a name, not a path"),
        ("a\\b", "a name, not a path"),
        ("/etc/passwd", "a name, not a path"),
        ("7\n", "a name has lower-case"),
        ("", "a name has lower-case"),
        ("A", "a name has lower-case"),
        ("7 rm -rf", "a name has lower-case"),
        ("x" * 65, "a name has lower-case"),
    ],
)
def test_a_version_name_is_a_name(tmp_path: Path, version: str, words: str) -> None:
    error = refused(edit_manifest(make_version(tmp_path), lambda old: old | {"version": version}))
    assert error.reason == "name"
    assert words in str(error)
    with pytest.raises(VersionRefusedError):
        VersionRef("detector", version, "0" * 64)


def test_a_blob_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    made = make_version(tmp_path)
    for name in ("weights.safetensors", "model.onnx"):
        good = (made / name).read_bytes()
        (made / name).write_bytes(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:])
        assert refused(made).reason == "hash"
        (made / name).write_bytes(good[: len(good) // 2])
        assert refused(made).reason == "hash"
        (made / name).write_bytes(b"")
        assert refused(made).reason == "files"
        (made / name).unlink()
        assert refused(made).reason == "files"
        (made / name).write_bytes(good)
    assert examine(made)


def test_a_changed_manifest_is_not_the_expected_one(tmp_path: Path) -> None:
    made = make_version(tmp_path)
    ref = examine(made).ref
    (made / "manifest.json").write_bytes(canonical_form((made / "manifest.json").read_bytes()))
    assert examine(made, expected=ref).ref == ref
    edit_manifest(made, lambda old: old | {"thresholds": {"score": 0.01, "iou": 0.3}})
    assert refused(made, expected=ref).reason == "hash"


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"classes": ["no_mask", "mask", "incorrect"]}, "classes", "instead of"),
        ({"classes": ["mask"]}, "classes", "instead of"),
        ({"kind": "tracker"}, "kind", "no kind of model"),
        ({"kind": "detector"}, "classes", "instead of"),
        ({"architecture": "vit_huge"}, "arch", "known: mobilenet_v2"),
        ({"temperature": 0}, "manifest", "temperature"),
        ({"surprise": 1}, "manifest", "surprise"),
        ({"blobs": {}}, "files", "both onnx and safetensors"),
        ({"version": 7}, "manifest", "version"),
    ],
)
def test_a_manifest_must_fit(tmp_path: Path, changes: dict[str, Any], reason: str, words: str) -> None:
    error = refused(edit_manifest(make_version(tmp_path, kind="classifier"), lambda old: old | changes))
    assert (error.reason, words in str(error)) == (reason, True), str(error)


@pytest.mark.parametrize(
    "name", ["manifest.json", "readme.md", "signature.json", "record.json", "Model.onnx", "../up.bin", ".hidden"]
)
def test_a_blob_cannot_take_the_name_of_another_file(tmp_path: Path, name: str) -> None:
    made = make_version(tmp_path)

    def rename(old: dict[str, Any]) -> dict[str, Any]:
        old["blobs"]["safetensors"]["file"] = name
        return old

    assert refused(edit_manifest(made, rename)).reason in ("files", "manifest")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"kind": NaN}', b"[" * 100_000, b"\xff\xfe"])
def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path, content: bytes) -> None:
    made = make_version(tmp_path)
    (made / "manifest.json").write_bytes(content)
    assert refused(made).reason in ("manifest", "kind")


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    made = make_version(tmp_path)
    (made / "manifest.json").write_bytes(b" " * 1_000_001)
    assert refused(made).reason == "size"


class Harm:
    def __reduce__(self) -> Any:
        return (sys.exit, (7,))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Harm()),
        b"PK\x03\x04" + b"\0" * 200,
        struct.pack("<Q", 2_000_000) + b" " * 2_000_000,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 3) + b"[1]",
        b"\x07",
    ],
    ids=["pickle", "zip", "huge header", "endless header", "no object", "one byte"],
)
def test_weights_in_another_format_are_refused_unparsed(tmp_path: Path, content: bytes) -> None:
    assert refused(replace_weights(make_version(tmp_path), content)).reason == "header"


def test_two_hundred_thousand_tensors_are_refused(tmp_path: Path) -> None:
    empty = {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(20_000)}
    header = json.dumps(empty).encode()
    made = replace_weights(make_version(tmp_path), struct.pack("<Q", len(header)) + header)
    assert refused(made).reason == "header"


def first(header: dict[str, Any]) -> str:
    return next(name for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F16")


def renamed(header: dict[str, Any]) -> dict[str, Any]:
    name = first(header)
    return {(f"{name}x" if key == name else key): value for key, value in header.items()}


def overlapping(header: dict[str, Any]) -> dict[str, Any]:
    entry = header[first(header)]
    begin, end = entry["data_offsets"]
    return header | {first(header): entry | {"data_offsets": [begin - 2, end - 2]}}


def too_large(header: dict[str, Any]) -> dict[str, Any]:
    return header | {first(header): header[first(header)] | {"shape": [1 << 40]}}


def strange(header: dict[str, Any]) -> dict[str, Any]:
    return header | {first(header): header[first(header)] | {"dtype": "OBJ"}}


@pytest.mark.parametrize("change", [renamed, overlapping, too_large, strange])
def test_tensors_must_be_those_of_the_architecture(tmp_path: Path, change: Any) -> None:
    assert refused(edit_header(make_version(tmp_path), change)).reason == "tensors"


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    made = make_version(tmp_path)
    data = bytearray((made / "weights.safetensors").read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    begin, _ = header[first(header)]["data_offsets"]
    data[8 + length + begin : 8 + length + begin + 2] = b"\x00\x7e"  # a half-precision NaN
    error = refused(replace_weights(made, bytes(data)))
    assert (error.reason, "not finite" in str(error)) == ("tensors", True)


def test_a_link_is_no_file_of_a_version(tmp_path: Path) -> None:
    made = make_version(tmp_path)
    (made / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (made / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert refused(made).reason == "files"


def test_the_table_of_architectures_is_what_the_networks_are() -> None:
    """Where this fails: a network was added or changed, and ``common/models/architectures.py`` does not know yet."""
    pytest.importorskip("torch")
    from common.models.networks import build_classifier, build_detector

    found: dict[str, dict[str, str]] = {"detector": {}, "classifier": {}}
    for kind, build in (("detector", build_detector), ("classifier", build_classifier)):
        with pytest.raises(ValueError, match="known: ") as caught:
            build("no such network")
        for name in str(caught.value).split("known: ")[1].split(", "):
            network: Any = build(name.strip("'"))
            found[kind][name.strip("'")] = names_digest(network.state_dict())
    assert found == TENSOR_NAMES
    assert LABELS == ("mask", "no_mask", "incorrect")
