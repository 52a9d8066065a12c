"""Why a version was not put in service, in one word for the metric and one line for people."""

from __future__ import annotations

from common.errors import (
    BackendError,
    BlobMismatchError,
    BrokerError,
    ManifestError,
    MaskwatchError,
    ProbeError,
    RegistryUnwritableError,
    UnknownVersionError,
    VersionRefusedError,
)

LONGEST_MESSAGE = 300
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (UnknownVersionError, "unknown"),
    (BlobMismatchError, "hash"),
    (ProbeError, "probe"),
    (ManifestError, "manifest"),
    (BackendError, "backend"),
)


class LoadError(MaskwatchError):
    """Versions that do not serve; what served before goes on.

    Attributes:
        reason: Metric label.
        passing: Whether the same versions may load in a moment: the broker was away, the disk full.
    """

    def __init__(self, reason: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message[:LONGEST_MESSAGE])
        self.reason = reason
        self.passing = passing


def failure_of(error: Exception) -> LoadError:
    """Sort an error that came up while a version was fetched or loaded."""
    if isinstance(error, LoadError):
        return error
    if isinstance(error, VersionRefusedError):
        return LoadError(error.reason, str(error))
    if isinstance(error, BrokerError):
        return LoadError("registry", str(error), passing=True)
    if isinstance(error, (RegistryUnwritableError, OSError)):
        return LoadError("disk", str(error), passing=True)
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return LoadError(reason, str(error))
    return LoadError("failed", f"{type(error).__name__}: {error}")
