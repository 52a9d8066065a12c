"""What starts a run: enough new crops, the schedule, or a person. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.service.requests import Request
from trainer.service.settings import TrainerSettings

Cause = Literal["samples", "schedule", "request"]


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when it is asked whether to run.

    Attributes:
        new: Crops that no run has decided about.
        left_over: How many of them were there already when a run ended without deciding about them.
        last_at_s: When the last run began, s since the epoch; 0: never, then the schedule counts from ``since_s``.
        since_s: When the service first looked, s since the epoch.
        request: The request that waits.
    """

    new: int
    left_over: int
    last_at_s: float
    since_s: float
    request: Request | None = None


def due(now: float, situation: Situation, settings: TrainerSettings) -> Cause | None:
    """Say why a run should start now; None where it should not."""
    if situation.request is not None:
        return "request"
    if situation.new - situation.left_over >= settings.min_new_samples:
        return "samples"
    waited_s = now - (situation.last_at_s or situation.since_s)
    if settings.every_hours and situation.new and waited_s >= 3600 * settings.every_hours:
        return "schedule"
    return None
