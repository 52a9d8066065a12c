"""Who vouches for a version: unsigned, tampered, unknown and misplaced signatures are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ConfigError, VersionRefusedError
from common.models.admission import examine
from common.models.signatures import SIGNATURE_NAME, Trust, load_trust, make_keys, sign
from tests.model_versions import make_version

pytest.importorskip("cryptography")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    make_keys(tmp_path / "site.key", tmp_path / "site.pub")
    return tmp_path / "site.key", tmp_path / "site.pub"


@pytest.fixture
def trust(keys: tuple[Path, Path]) -> Trust:
    return load_trust([keys[1]], required=True)


def signed(folder: Path, key: Path) -> Path:
    (folder / SIGNATURE_NAME).write_bytes(sign(examine(folder).ref, key).to_bytes())
    return folder


def refused(folder: Path, trust: Trust, words: str) -> None:
    with pytest.raises(VersionRefusedError, match=words) as caught:
        examine(folder, trust)
    assert caught.value.reason == "signature"


def test_a_signed_version_passes(tmp_path: Path, keys: tuple[Path, Path], trust: Trust) -> None:
    package = examine(signed(make_version(tmp_path), keys[0]), trust)
    assert package.signature is not None
    assert package.signature.key in trust.keys
    assert package.summary(0).signed_by == package.signature.key


def test_an_unsigned_version_is_refused_where_signatures_are_required(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    made = make_version(tmp_path)
    refused(made, trust, "not signed")
    assert examine(made, load_trust([keys[1]], required=False))


def test_a_signature_by_an_unknown_key_is_refused(tmp_path: Path, trust: Trust) -> None:
    make_keys(tmp_path / "other.key", tmp_path / "other.pub")
    made = signed(make_version(tmp_path), tmp_path / "other.key")
    refused(made, trust, "trusted are")
    assert examine(made), "without trusted keys signatures are not looked at"


def test_a_signature_is_for_one_content_and_one_name(tmp_path: Path, keys: tuple[Path, Path], trust: Trust) -> None:
    good = signed(make_version(tmp_path, "7"), keys[0])
    other = make_version(tmp_path, "8")
    (other / SIGNATURE_NAME).write_bytes((good / SIGNATURE_NAME).read_bytes())
    refused(other, trust, "not for this content")
    changed = make_version(tmp_path / "changed", "7", command="another")
    (changed / SIGNATURE_NAME).write_bytes((good / SIGNATURE_NAME).read_bytes())
    refused(changed, trust, "not for this content")


@pytest.mark.parametrize("content", [b"{}", b"x", b'{"algorithm":"none","key":"","value":""}', b" " * 5000])
def test_a_file_that_is_no_signature_is_refused(tmp_path: Path, trust: Trust, content: bytes) -> None:
    made = make_version(tmp_path)
    (made / SIGNATURE_NAME).write_bytes(content)
    with pytest.raises(VersionRefusedError):
        examine(made, trust)


def test_a_private_key_is_for_its_owner_only(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="cannot be written"):
        make_keys(keys[0], tmp_path / "new.pub")
    assert not (tmp_path / "new.pub").exists()
    keys[0].chmod(0o644)
    ref = examine(make_version(tmp_path)).ref
    with pytest.raises(ConfigError, match="chmod 600"):
        sign(ref, keys[0])


def test_keys_that_cannot_be_used_are_named(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="no trusted key is named"):
        load_trust([], required=True)
    with pytest.raises(ConfigError, match="no public key"):
        load_trust([keys[0]], required=True)
    with pytest.raises(ConfigError, match=r"gone\.pub: cannot be read"):
        load_trust([tmp_path / "gone.pub"], required=True)
    ref = examine(make_version(tmp_path)).ref
    keys[1].chmod(0o600)
    with pytest.raises(ConfigError, match="no private key"):
        sign(ref, keys[1])
