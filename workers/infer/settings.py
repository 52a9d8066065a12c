"""Settings of an infer worker: ``MASKWATCH_INFER_…``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.settings import host_name
from workers.backends.backend import BackendOptions, EightBits
from workers.infer.batcher import BatchLimits
from workers.infer.vision.canvas import LONG_SIDE_PX, canvases_of
from workers.infer.vision.pipeline import PipelineSettings


def _cache() -> Path | None:
    try:
        return Path.home() / ".cache" / "maskwatch" / "openvino"
    except RuntimeError:
        return None


class InferSettings(BaseSettings):
    """How one infer worker reads, computes and recovers."""

    model_config = SettingsConfigDict(
        env_prefix="MASKWATCH_INFER_", extra="forbid", frozen=True, protected_namespaces=()
    )

    backend: str = Field(default="auto", description="auto, openvino, torch, or package.module:callable of your own.")
    device: str = Field(default="auto", description="auto, cpu, or cuda with :0 and so on.")
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads for the networks; 0: the library decides.")
    decode_threads: int = Field(default=2, ge=1, le=64, description="JPEGs decoded at the same time.")
    reduced_decoding: bool = Field(default=True, description="Decode large frames at the detector's scale only.")
    long_side_px: int = Field(
        default=LONG_SIDE_PX,
        ge=256,
        le=1920,
        multiple_of=32,
        description="Long side at which faces are looked for, a multiple of 32.",
    )
    glance: bool = Field(default=True, description="Look closely only where a glance at half size leaves doubt.")
    quick: bool = Field(default=True, description="Ask a small network first what a face wears.")
    eight_bits: EightBits = Field(
        default="auto", description="Compute in 8 bits what can: auto (where the processor gains by it), on, off."
    )
    batch_size: int = Field(default=16, ge=1, le=256, description="Frames of a full batch.")
    max_wait_s: float = Field(default=0.02, ge=0, le=5, description="Longest that a frame waits for company.")
    detector_dir: Path | None = Field(default=None, description="Folder of a detector version; else the bundled one.")
    classifier_dir: Path | None = Field(default=None, description="Folder of a classifier version; else the bundled.")
    min_score: float | None = Field(default=None, gt=0, lt=1, description="Faces below are left out.")
    max_iou: float | None = Field(default=None, gt=0, lt=1, description="Two faces overlap by at most this.")
    cache_dir: Path | None = Field(default_factory=_cache, description="Where compiled networks are kept.")
    model_cache: Path | None = Field(default=None, description="Where copies of versions stay; else until the end.")
    index: int = Field(default=0, ge=0, le=9999, description="Number of this worker on its machine; keep it stable.")
    name: str = Field(default="", max_length=100, description="Name in the consumer group; else host and index.")
    read_entries: int = Field(default=128, ge=1, le=4096, description="Most entries read at once.")
    read_bytes: int = Field(default=64 << 20, ge=1 << 20, description="Most bytes read at once.")
    block_s: float = Field(default=0.5, gt=0, le=1, description="Longest wait for new frames.")
    reclaim_idle_s: float = Field(default=10.0, gt=0, le=600, description="Frames idle this long are taken over.")
    reclaim_every_s: float = Field(default=2.0, gt=0, le=60, description="How often that is looked for.")
    keepalive_s: float = Field(default=3.0, gt=0, le=60, description="How often held frames are said to be in hand.")
    frames_kept_s: float = Field(default=10.0, gt=0, le=600, description="Older frames are removed from the broker.")
    stall_s: float = Field(default=60.0, gt=0, le=3600, description="Without progress for so long the process ends.")
    solo_timeout_s: float = Field(default=30.0, gt=0, le=600, description="Longest that a suspect may take alone.")

    @property
    def consumer(self) -> str:
        """Name in the consumer group, the same after a restart."""
        return self.name or f"{host_name()}-{self.index}"

    def limits(self, max_age_s: float) -> BatchLimits:
        """Give the batcher's limits: the batch at work and the one behind it are all that may wait."""
        return BatchLimits(self.batch_size, self.max_wait_s, max_age_s, 2 * self.batch_size)

    def options(self) -> BackendOptions:
        """Give what the backend may use."""
        return BackendOptions(self.device, self.threads, self.cache_dir, self.eight_bits)

    def pipeline(self) -> PipelineSettings:
        """Give what counts as a face."""
        return PipelineSettings(
            self.min_score, self.max_iou, canvases=canvases_of(self.long_side_px), glance=self.glance, quick=self.quick
        )
