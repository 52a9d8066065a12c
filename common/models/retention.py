"""How long versions are kept, and what a registry is told when it is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.models.registry import Pointer, Rollout, VersionRef, VersionSummary, WorkerModels
from common.models.signatures import NO_TRUST, Trust

GENERATIONS_KEPT = 10
LOG_KEPT = 1000


@dataclass(frozen=True, slots=True)
class RegistryRules:
    """What a registry keeps and accepts.

    Attributes:
        keep: Versions of each kind that are kept whether somebody needs them or not.
        trust: Whose signatures count.
        report_ttl_s: A worker that has not reported for so long, s, is not there any more.
    """

    keep: int = 10
    trust: Trust = field(default=NO_TRUST)
    report_ttl_s: float = 30.0


DEFAULT_RULES = RegistryRules()


@dataclass(frozen=True, slots=True)
class Holders:
    """Everything that may need a version.

    Attributes:
        pointer: What is in service.
        generations: What can be rolled back to.
        rollout: What is on trial.
        workers: What live workers serve.
    """

    pointer: Pointer
    generations: Sequence[Pointer]
    rollout: Rollout | None
    workers: Mapping[str, WorkerModels]

    def need(self, ref: VersionRef) -> str:
        """Say in words who needs a version; empty where nobody does."""
        if ref in self.pointer.refs:
            return "it is in service"
        if self.rollout is not None and ref in self.rollout.candidate:
            return "it is on trial"
        for worker, models in self.workers.items():
            if ref in (models.detector, models.classifier):
                return f"worker {worker} serves it"
        for pointer in self.generations:
            if ref in pointer.refs:
                return f"a rollback to generation {pointer.generation} may need it"
        return ""


def surplus(versions: Iterable[VersionSummary], keep: int) -> list[VersionRef]:
    """Give the versions behind the ``keep`` newest of each kind; ``versions`` come newest first."""
    seen: Counter[str] = Counter()
    behind = []
    for version in versions:
        seen[version.ref.kind] += 1
        if seen[version.ref.kind] > keep:
            behind.append(version.ref)
    return behind
