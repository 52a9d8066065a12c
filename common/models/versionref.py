"""The name of a model version, safe wherever it ends up: in a key, a path, a log line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import VersionRefusedError
from common.models.manifest import Kind

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class VersionRef:
    """Names one version for ever: the digest is the SHA-256 of its canonical manifest, which names every blob's.

    Attributes:
        kind: ``detector`` or ``classifier``.
        version: Its name within the kind, safe as a file name.
        digest: 64 lower-case hexadecimal digits.

    Raises:
        VersionRefusedError: A part that could be something else than a name, such as a path.
    """

    kind: Kind
    version: str
    digest: str

    def __post_init__(self) -> None:
        check_name(self.kind, self.version)
        if not _DIGEST.fullmatch(self.digest):
            raise VersionRefusedError("manifest", f"{self.label}: {self.digest[:80]!r} is no digest")

    @property
    def label(self) -> str:
        """Kind and name for people, such as ``detector/7``."""
        return f"{self.kind}/{self.version}"

    @property
    def folder(self) -> str:
        """Name of this version's folder in a cache; another content of the same name has another folder."""
        return f"{self.kind}-{self.version}-{self.digest[:12]}"


def check_name(kind: str, version: str) -> None:
    """Refuse anything that is not a plain kind and name.

    Raises:
        VersionRefusedError: With the reason in words.
    """
    if kind not in ("detector", "classifier"):
        raise VersionRefusedError("kind", f"{kind[:80]!r} is no kind of model; there are detector and classifier")
    if any(mark in version for mark in "/\\\0") or version.startswith("."):
        raise VersionRefusedError("name", f"version {version[:80]!r}: a name, not a path")
    if version == "bundled":
        raise VersionRefusedError("name", "'bundled' means the release that ships with the package; take another name")
    if not _NAME.fullmatch(version):
        allowed = "lower-case letters, digits, '.', '_' and '-', at most 64, starting with a letter or digit"
        raise VersionRefusedError("name", f"version {version[:80]!r}: a name has {allowed}")
