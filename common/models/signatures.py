"""Ed25519 signatures of versions: who vouches for one. Needs the package ``cryptography``; nothing else here does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ConfigError, VersionRefusedError
from common.models.versionref import VersionRef

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_NAME = "signature.json"
MAX_SIGNATURE_BYTES = 4096
_PURPOSE = "maskwatch model version v1"
_MAX_KEY_BYTES = 10_000


class Signature(BaseModel):
    """A signature beside a version's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Literal["ed25519"] = "ed25519"
    key: str = Field(pattern=r"^[0-9a-f]{16}$", description="Id of the key: the first digits of its SHA-256.")
    value: str = Field(pattern=r"^[0-9a-f]{128}$", description="The signature, hexadecimal.")

    def to_bytes(self) -> bytes:
        """Give the content of ``signature.json``."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def read_signature(data: bytes) -> Signature:
    """Read the content of ``signature.json``.

    Raises:
        VersionRefusedError: It is no signature.
    """
    try:
        if len(data) > MAX_SIGNATURE_BYTES:
            raise ValueError
        return Signature.model_validate_json(data)
    except (ValidationError, ValueError) as error:
        raise VersionRefusedError("signature", f"{SIGNATURE_NAME} holds no signature") from error


@dataclass(frozen=True)
class Trust:
    """Whose signatures count.

    Attributes:
        required: Whether a version without one is refused.
        keys: Key id to public key; empty: signatures are not looked at.
    """

    required: bool = False
    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)

    def check(self, ref: VersionRef, signature: Signature | None) -> None:
        """Refuse a version that is not signed as it must be.

        Raises:
            VersionRefusedError: Not signed, by a key that is not trusted, or not for this content and name.
        """
        if signature is None:
            if self.required:
                raise VersionRefusedError("signature", f"{ref.label}: not signed, and signatures are required here")
            return
        if not self.keys:
            return
        key = self.keys.get(signature.key)
        if key is None:
            known = ", ".join(sorted(self.keys))
            raise VersionRefusedError("signature", f"{ref.label}: signed by key {signature.key}; trusted are {known}")
        from cryptography.exceptions import InvalidSignature

        try:
            key.verify(bytes.fromhex(signature.value), _statement(ref))
        except InvalidSignature as error:
            words = f"{ref.label}: the signature by key {signature.key} is not for this content"
            raise VersionRefusedError("signature", words) from error


NO_TRUST = Trust()
"""Signatures are not looked at."""


def load_trust(files: Sequence[Path], *, required: bool) -> Trust:
    """Read public keys.

    Raises:
        ConfigError: A file holds no Ed25519 public key, signatures are required of nobody, or the package is missing.
    """
    if required and not files:
        raise ConfigError("signatures are required, but no trusted key is named: MASKWATCH_MODELS_TRUSTED_KEYS")
    if not files:
        return NO_TRUST
    _need_package()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    keys = {}
    for path in files:
        try:
            key = load_pem_public_key(_read_key(path))
        except ValueError as error:
            raise ConfigError(f"{path}: no public key in PEM form") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{path}: a public key, but not of Ed25519")
        keys[key_id(key)] = key
    return Trust(required, keys)


def make_keys(private: Path, public: Path) -> str:
    """Make a key pair, the private one readable by its owner only, and give its id.

    Raises:
        ConfigError: One of the files exists or cannot be written; an existing one is untouched.
    """
    _need_package()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    if public.exists():
        raise ConfigError(f"{public}: exists; it stays")
    for path, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
                file.write(content)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return key_id(key.public_key())


def sign(ref: VersionRef, key_file: Path) -> Signature:
    """Sign a version's name and content.

    Raises:
        ConfigError: The file holds no Ed25519 private key without a password, or others can read it.
    """
    key = _private_key(key_file)
    return Signature(key=key_id(key.public_key()), value=key.sign(_statement(ref)).hex())


def key_id(key: Ed25519PublicKey) -> str:
    """Give the 16 digits that name a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private_key(path: Path) -> Ed25519PrivateKey:
    _need_package()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read_key(path)
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others can read this private key; run: chmod 600 {path}")
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: no private key in PEM form without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a private key, but not of Ed25519")
    return key


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _statement(ref: VersionRef) -> bytes:
    return "\n".join((_PURPOSE, ref.kind, ref.version, ref.digest)).encode()


def _need_package() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError("signatures need the package cryptography: pip install 'maskwatch[signed]'") from error
