"""Data of model status events: which versions judge from now on, and who decided it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from common.events.parts import Data, Timestamp

MODEL_STATUS_TYPE = "maskwatch.model.status.v1"

ModelAction = Literal["promoted", "rolled_back", "refused", "rollout_started", "rollout_ended"]


class VersionInfo(Data):
    """A model version by name and content."""

    kind: Literal["detector", "classifier"]
    version: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class ModelStatusData(Data):
    """Data of ``maskwatch.model.status.v1``; sent when the registry's pointer moves, and around rollouts."""

    action: ModelAction
    generation: int = Field(ge=0)
    """The generation in force after it; a refusal and a rollout leave it as it was."""
    refs: list[VersionInfo] = Field(default_factory=list)
    """What is in service after a promotion or rollback, else what it is about; a kind not named is the bundled one."""
    previous: list[VersionInfo] = Field(default_factory=list)
    """Versions that were in service before."""
    by: str = ""
    why: str = ""
    at: Timestamp
