"""Which versions a worker should serve or try beside: by pointer, rollout, and its own place among the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.models.registry import Pointer, Rollout
from workers.infer.versions.serving import Choice


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker should do.

    Attributes:
        serve: What it should serve.
        shadow: What it should compute beside it, and never publish; None: nothing.
        rollout: The rollout that says so.
    """

    serve: Choice
    shadow: Choice | None = None
    rollout: Rollout | None = None


def wanted(pointer: Pointer, rollout: Rollout | None, worker: str, live: Iterable[str]) -> Wanted:
    """Choose for one worker; every worker comes to its own answer without asking another.

    Args:
        pointer: What is in service.
        rollout: The candidate on trial; ignored where the pointer has moved on since.
        worker: Whose choice it is.
        live: Names of the live workers, its own among them or not.

    Returns:
        The pointer's versions; the candidate's on the first ``rollout.workers`` live workers by name while it is a
        canary; in stage ``shadow`` the pointer's, and the candidate beside.
    """
    plain = Choice(pointer.generation, pointer.detector, pointer.classifier)
    if rollout is None or rollout.base_generation != pointer.generation:
        return Wanted(plain)
    detector, classifier = pointer.replaced(rollout.candidate)
    candidate = Choice(pointer.generation, detector, classifier, "canary")
    if candidate.same_networks(plain):
        return Wanted(plain)
    if rollout.stage == "shadow":
        return Wanted(plain, candidate, rollout)
    first = sorted({worker, *live})[: rollout.workers]
    return Wanted(candidate if worker in first else plain, None, rollout)
