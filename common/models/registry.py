"""Where model versions are kept: what a version, the pointer, a rollout and a worker's report are, and what every
registry does with them. Two keep this contract: ``common.broker.models.store`` and ``common.models.directory``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from common.errors import StaleGenerationError
from common.models.manifest import Manifest
from common.models.versionref import VersionRef

__all__ = [
    "LogEntry",
    "Pointer",
    "Registry",
    "Rollout",
    "VersionRef",
    "VersionSummary",
    "WorkerModels",
    "check_follows",
]

Action = Literal["published", "promoted", "rolled_back", "refused", "rollout_started", "rollout_ended", "retired"]
Stage = Literal["shadow", "canary"]


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which versions are in service. None means the one that ships with the package.

    Attributes:
        generation: Rises by 1 with every promotion and rollback; 0 before the first. A worker that has seen one never
            follows an older one.
        detector: The detector in service.
        classifier: The classifier in service.
        by: Who made this generation.
        why: For what reason.
        at_s: When, s since the epoch by the registry's clock.
    """

    generation: int = 0
    detector: VersionRef | None = None
    classifier: VersionRef | None = None
    by: str = ""
    why: str = ""
    at_s: float = 0.0

    @property
    def refs(self) -> tuple[VersionRef, ...]:
        """The versions that are named, detector first."""
        return tuple(ref for ref in (self.detector, self.classifier) if ref is not None)

    def replaced(self, refs: Sequence[VersionRef]) -> tuple[VersionRef | None, VersionRef | None]:
        """Give detector and classifier as they are once ``refs`` stand in their places."""
        new = {ref.kind: ref for ref in refs}
        return new.get("detector", self.detector), new.get("classifier", self.classifier)


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """A published version in a list.

    Attributes:
        ref: Names it.
        name: The model's name, such as ``yunet-n-mask``.
        architecture: What builds it.
        size_bytes: Size of all its files.
        at_s: When it was published, s since the epoch.
        signed_by: Key id of its signature; empty where it has none.
    """

    ref: VersionRef
    name: str
    architecture: str
    size_bytes: int
    at_s: float
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A candidate on trial beside what is in service; it ends with the next promotion or rollback.

    Attributes:
        candidate: The versions on trial; a kind that is not named stays as it is.
        stage: ``shadow``: computed and compared, never served. ``canary``: served by some workers.
        workers: How many workers serve it, in stage ``canary``.
        base_generation: The generation that it is compared with.
        by: Who started it; ``at_s``: when, s since the epoch; ``why``: for what reason.
    """

    candidate: tuple[VersionRef, ...]
    stage: Stage
    workers: int
    base_generation: int
    by: str
    at_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class WorkerModels:
    """What a worker serves, in its own words.

    Attributes:
        generation: The generation that it follows.
        detector: Its detector; None: the bundled one.
        classifier: Its classifier; None: the bundled one.
        backend: What computes them, such as ``openvino-cpu``.
        state: Such as ``serving``, ``loading``, ``shadow``, ``canary`` or ``refused: <reason>``.
        at_s: When it said so, s since the epoch; the registry's clock wins.
    """

    generation: int
    detector: VersionRef | None
    classifier: VersionRef | None
    backend: str
    state: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened to the registry; entries are never changed, only the oldest are forgotten.

    Attributes:
        number: Rises by 1 with every entry.
        action: What happened.
        generation: The generation in force after it.
        refs: What it happened to; after a promotion or rollback, everything that is named.
        previous: What the pointer named before it.
        by: Who did it; ``why``: for what reason; ``at_s``: when, s since the epoch by the registry's clock.
    """

    number: int
    action: Action
    generation: int
    refs: tuple[VersionRef, ...]
    previous: tuple[VersionRef, ...]
    by: str
    why: str
    at_s: float


class Registry(Protocol):
    """Keeps versions and says which are in service. Safe to use from several processes; one thread for each object.

    Every method may raise `BrokerError` (state broker) or `RegistryUnwritableError` (folder); what serves then stays.
    """

    def publish(self, folder: Path, by: str = "", why: str = "") -> VersionRef:
        """Check a version folder and keep a copy; the same content again is no error.

        Raises:
            VersionRefusedError: Not fit to serve, badly signed, or its name stands for other content; says why.
        """

    def fetch(self, ref: VersionRef, into: Path) -> Path:
        """Give the folder ``into / ref.folder``, complete and verified; it appears as a whole or not at all.

        Raises:
            UnknownVersionError: There is no such version.
            VersionRefusedError: Damaged, badly signed or not fit; nothing was parsed before its hash was right.
        """

    def manifest(self, ref: VersionRef) -> Manifest:
        """Give a version's manifest without its blobs.

        Raises:
            UnknownVersionError: There is no such version.
            VersionRefusedError: What is stored is not its manifest.
        """

    def versions(self) -> list[VersionSummary]:
        """List the versions, the newest first."""

    def current(self) -> Pointer:
        """Say what is in service; cheap enough to ask every second."""

    def promote(self, refs: Sequence[VersionRef], expected: int, by: str, why: str) -> Pointer:
        """Put versions in service, if generation ``expected`` is still in force; ends a rollout.

        Raises:
            StaleGenerationError: Another generation is in force; names who made it. Nothing was changed.
            UnknownVersionError: One of them is not there; nothing was changed.
            BrokerUnavailableError: With ``in_doubt`` it may be done: ask `current`; trying again is safe.
        """

    def rollback(self, by: str, why: str, to: int | None = None, expected: int | None = None) -> Pointer:
        """Make a new generation that names what generation ``to`` named; None: the one before the one in force.

        Raises:
            UnknownVersionError: That generation, or a version of it, is not kept any more.
            StaleGenerationError: ``expected`` is given and another generation is in force.
        """

    def log(self, count: int) -> list[LogEntry]:
        """Give the last ``count`` entries, the newest first."""

    def refused(self, refs: Sequence[VersionRef], by: str, why: str) -> None:
        """Log that somebody did not take versions, such as a worker whose probe failed; nothing else changes."""

    def rollout(self) -> Rollout | None:
        """Give the rollout under way; None where there is none."""

    def set_rollout(self, rollout: Rollout | None, by: str = "", why: str = "") -> None:
        """Start, change or (None) end a rollout.

        Raises:
            StaleGenerationError: Its ``base_generation`` is not in force.
            UnknownVersionError: A candidate is not there.
        """

    def report(self, worker: str, models: WorkerModels) -> None:
        """Say what a worker serves; forgotten 30 s after its last report."""

    def workers(self) -> dict[str, WorkerModels]:
        """Give what every live worker said last."""

    def retire(self, ref: VersionRef, by: str, why: str) -> None:
        """Forget a version.

        Raises:
            UnknownVersionError: It is not there.
            VersionRefusedError: Pointer, rollout, a live worker or a rollback may need it; it stays.
        """

    def delete_unused(self, keep: int) -> list[VersionRef]:
        """Forget all but the ``keep`` newest versions of each kind and those that something may need; says which."""

    def sweep(self) -> int:
        """Remove what publishing left half-done more than an hour ago and say how much is still lying about."""


def check_follows(seen: int, offered: Pointer) -> None:
    """Refuse a pointer that is older than one already seen, as a stale copy of the registry would give it.

    Args:
        seen: The highest generation that was ever followed by this process.
        offered: What the registry says now.

    Raises:
        StaleGenerationError: It is older; keep what serves.
    """
    if offered.generation < seen:
        raise StaleGenerationError(seen, offered.generation, offered.by, offered.why)
