"""Settings of the trainer service, from the environment (``MASKWATCH_TRAINER_…``) or the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.errors import ConfigError
from common.settings import ENV_PREFIX

Promotion = Literal["manual", "guarded"]


def _split(value: object) -> object:
    """Take several paths from one variable, separated by commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]


class GateLimits(BaseModel):
    """What a candidate may not exceed; shares, not percent."""

    model_config = ConfigDict(frozen=True)

    tolerance: float
    most_lost: float
    false_violations: float
    log_loss: float
    learnt: float
    calibration: float
    latency: float
    support: int
    held_out: int
    draws: int


class ScrutinyLimits(BaseModel):
    """When new labels are not believed."""

    model_config = ConfigDict(frozen=True)

    sure: float
    least: int
    share: float


class RolloutLimits(BaseModel):
    """How long a candidate is watched on live frames, and what it may not exceed there."""

    model_config = ConfigDict(frozen=True)

    shadow_s: float
    canary_s: float
    watch_s: float
    patience_s: float
    canary_workers: int
    least_verdicts: int
    disagreement: float
    latency: float
    undetermined: float


class TrainerSettings(BaseSettings):
    """What only the trainer service asks for."""

    model_config = SettingsConfigDict(env_prefix=f"{ENV_PREFIX}TRAINER_", extra="forbid", frozen=True)

    samples: Path = Field(default=Path("trainer/samples"), description="Folder of labelled crops, with crops.jsonl.")
    runs: Path = Field(default=Path("trainer/runs"), description="Folder of runs, their reports and the ledger.")
    base: Paths = Field(default=(), description="Base set, replayed: folders, indexes, packs; commas between.")
    evaluation: Paths = Field(default=(), description="Fixed evaluation set; if empty, the base set's validation part.")
    base_most: int = Field(default=4000, ge=10, description="Pictures of the base set that are used, drawn once.")
    min_new_samples: int = Field(default=200, ge=1, le=1_000_000, description="New labelled crops that start a run.")
    every_hours: float = Field(default=0.0, ge=0, le=8760, description="A run at least this often; 0: never.")
    promotion: Promotion = Field(default="manual", description="manual: a person promotes; guarded: step by step.")
    epochs: int = Field(default=4, ge=1, le=100, description="Passes of a run.")
    samples_per_epoch: int = Field(default=4000, ge=64, le=1_000_000, description="Faces drawn for a pass.")
    new_share: float = Field(default=0.3, gt=0, le=1, description="Share of operators' crops among these.")
    rate: float = Field(default=2e-4, gt=0, le=0.1, description="Highest learning rate.")
    batch: int = Field(default=32, ge=2, le=1024, description="Faces a step.")
    held_out: float = Field(default=0.25, gt=0, lt=1, description="Share of operators' crops never trained on.")
    seed: int = Field(default=1, ge=0, description="Seed of everything random.")
    threads: int = Field(default=1, ge=1, le=256, description="CPU threads.")
    nice: int = Field(default=19, ge=0, le=19, description="How far below other processes.")
    idle: bool = Field(default=False, description="Run only on cores that nobody else wants (Linux).")
    poll_s: float = Field(default=5.0, gt=0, le=600, description="How often to look for work.")
    signing_key: Path | None = Field(default=None, description="Private key file that signs versions; none: unsigned.")
    lease_s: float = Field(default=30.0, ge=1, le=600, description="A trainer that is silent this long is replaced.")
    attempts: int = Field(default=3, ge=1, le=100, description="Starts after which a run that dies is given up.")
    runs_kept: int = Field(default=20, ge=1, le=10_000, description="Runs whose folder is kept.")

    gate_tolerance: float = Field(default=0.005, ge=0, le=1, description="Loss of accuracy that is let pass.")
    gate_most_lost: float = Field(default=0.03, ge=0, le=1, description="Loss refused though chance may explain it.")
    gate_false_violations: float = Field(default=0.002, ge=0, le=1, description="More false violations let pass.")
    gate_log_loss: float = Field(
        default=0.05,
        ge=0,
        description="Clear rise of a slice's log loss, nats, let pass; a fifth of it where the loss doubles.",
    )
    gate_learnt: float = Field(default=0.5, ge=0, le=1, description="Share of new held-out labels that must be learnt.")
    gate_calibration: float = Field(default=0.02, ge=0, le=1, description="Rise of the calibration error let pass.")
    gate_latency: float = Field(default=1.3, ge=1, le=100, description="Time for a batch over the current one's.")
    gate_support: int = Field(default=20, ge=1, description="Faces that a slice needs to be judged.")
    gate_held_out: int = Field(default=10, ge=1, description="Held-out crops that guarded promotion needs.")
    gate_draws: int = Field(default=1000, ge=50, le=100_000, description="Draws of the bootstrap.")

    label_sure: float = Field(default=0.9, gt=0.5, lt=1, description="From here on the model counts as sure.")
    label_least: int = Field(default=10, ge=2, description="Labels of one origin below which it is not suspected.")
    label_share: float = Field(default=0.5, gt=0, le=1, description="Share contradicted both ways, not believed.")

    shadow_s: float = Field(default=600.0, gt=0, description="Least time in the shadow.")
    canary_s: float = Field(default=1800.0, gt=0, description="Least time as canary.")
    watch_s: float = Field(default=3600.0, ge=0, description="Time after promotion in which it may be taken back.")
    patience_s: float = Field(default=86_400.0, gt=0, description="A stage without enough verdicts ends after this.")
    canary_workers: int = Field(default=1, ge=1, le=1000, description="Workers that serve the candidate as canaries.")
    rollout_verdicts: int = Field(default=500, ge=1, description="Verdicts that a stage needs.")
    rollout_disagreement: float = Field(default=0.05, ge=0, le=1, description="Share of faces judged otherwise.")
    rollout_latency: float = Field(default=1.5, ge=1, description="Time a face over the current one's.")
    rollout_undetermined: float = Field(default=0.05, ge=0, le=1, description="Rise of the undetermined share.")

    def check(self) -> None:
        """Make sure that there is something to replay and to judge by.

        Raises:
            ConfigError: Names the variable.
        """
        if not self.base:
            raise ConfigError("MASKWATCH_TRAINER_BASE: name the base set that is trained on beside operators' crops")
        for path in (*self.base, *self.evaluation):
            if not path.exists():
                raise ConfigError(f"MASKWATCH_TRAINER_BASE or MASKWATCH_TRAINER_EVALUATION: there is no {path}")

    @property
    def gate(self) -> GateLimits:
        """The gate's limits."""
        return GateLimits(
            tolerance=self.gate_tolerance, most_lost=self.gate_most_lost, false_violations=self.gate_false_violations,
            log_loss=self.gate_log_loss,
            learnt=self.gate_learnt, calibration=self.gate_calibration, latency=self.gate_latency,
            support=self.gate_support, held_out=self.gate_held_out, draws=self.gate_draws,
        )  # fmt: skip

    @property
    def scrutiny(self) -> ScrutinyLimits:
        """When labels are not believed."""
        return ScrutinyLimits(sure=self.label_sure, least=self.label_least, share=self.label_share)

    @property
    def rollout(self) -> RolloutLimits:
        """The bounds of guarded promotion."""
        return RolloutLimits(
            shadow_s=self.shadow_s, canary_s=self.canary_s, watch_s=self.watch_s, patience_s=self.patience_s,
            canary_workers=self.canary_workers, least_verdicts=self.rollout_verdicts,
            disagreement=self.rollout_disagreement, latency=self.rollout_latency,
            undetermined=self.rollout_undetermined,
        )  # fmt: skip
