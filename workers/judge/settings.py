"""Settings of the judge, from the environment (``MASKWATCH_JUDGE_…``) or the command line."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.settings import ENV_PREFIX
from workers.judge.limits import Limits


class JudgeSettings(BaseSettings):
    """What only the judge asks for; the defaults suit 1 to 1000 cameras."""

    model_config = SettingsConfigDict(env_prefix=f"{ENV_PREFIX}JUDGE_", extra="forbid", frozen=True)

    name: str | None = Field(default=None, max_length=60, description="Name in logs and leases; host name by default.")
    lease_s: float = Field(default=6.0, ge=1, le=60, description="A dead judge's cameras go to others after this.")
    renew_s: float = Field(default=2.0, ge=0.2, le=20, description="How often leases are renewed.")
    batch: int = Field(default=500, ge=1, le=10_000, description="Results of a partition that are judged at a time.")
    block_s: float = Field(default=0.2, gt=0, le=2, description="Longest wait for results.")
    keep_results_s: float = Field(default=600.0, ge=0, le=86_400, description="How long judged results are kept.")
    forget_s: float = Field(
        default=86_400.0, ge=60, description="State of a silent camera that is in no plan goes after this."
    )
    events_kept: int = Field(default=100_000, ge=1000, description="Events kept in each partition's log.")
    reorder_frames: int = Field(default=5, ge=0, le=100, description="Results that wait for an earlier frame.")
    reorder_ms: int = Field(default=300, ge=0, le=10_000, description="How long they wait.")
    tail_ms: int = Field(default=3000, ge=0, le=60_000, description="Wait for frames that a producer says it sent.")
    silent_s: float = Field(default=8.0, ge=1, le=600, description="A camera silent for longer counts as offline.")
    lost_s: float = Field(default=1.5, ge=0.2, le=60, description="A person unseen for longer has left.")
    reattach_s: float = Field(
        default=3.5, ge=0, le=60, description="The same for one who vanished in mid picture and may turn up again."
    )

    def limits(self) -> Limits:
        """Give the judge's knobs."""
        return Limits(
            reorder_frames=self.reorder_frames,
            reorder_ms=self.reorder_ms,
            tail_ms=self.tail_ms,
            silent_ms=round(self.silent_s * 1000),
            lost_ms=round(self.lost_s * 1000),
            reattach_ms=round(max(self.lost_s, self.reattach_s) * 1000),
            lost_at_most_ms=max(6000, round(max(4 * self.lost_s, self.reattach_s) * 1000)),
        )
