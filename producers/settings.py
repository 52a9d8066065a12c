"""Settings of a producer process (``MASKWATCH_PRODUCER_…``)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.settings import ENV_PREFIX
from producers.picture_state import StateRules


class ProducerSettings(BaseSettings):
    """Which cameras this process serves, and how patient it is with them."""

    model_config = SettingsConfigDict(env_prefix=f"{ENV_PREFIX}PRODUCER_", extra="forbid", frozen=True)

    cameras: list[str] = Field(default_factory=list, description="Ids of the cameras to serve; empty: all of the plan.")
    shard: str = Field(default="", pattern=r"^(\d+/\d+)?$", description="Serve share i of n, as 'i/n' from 1/n to n/n.")
    heartbeat_s: float = Field(
        default=2.0, gt=0, le=60, description="Between two words on a camera; 3.5 times that if it stays offline."
    )
    open_timeout_s: float = Field(default=5.0, gt=0, le=120, description="How long a source may take to open.")
    read_timeout_s: float = Field(default=5.0, gt=0, le=120, description="Silence that ends a connection.")
    stall_s: float = Field(default=10.0, gt=0, le=600, description="Time without a picture until it reconnects.")
    retry_first_s: float = Field(default=0.5, gt=0, le=60, description="Longest first pause before reconnecting.")
    retry_most_s: float = Field(default=30.0, gt=0, le=600, description="Longest pause before reconnecting.")
    offline_s: float = Field(default=3.0, gt=0, le=600, description="Time without a picture that is 'offline'.")
    frozen_s: float = Field(default=8.0, gt=0, le=600, description="Time with the very same picture that is 'frozen'.")
    settle_s: float = Field(default=3.0, ge=0, le=600, description="How long dark or blurred must last to be said.")
    recover_s: float = Field(default=1.0, ge=0, le=600, description="How long a good picture must last to be said.")
    dark_luma: float = Field(default=14.0, ge=0, le=255, description="Mean brightness below which it is 'dark'.")
    blurred_sharpness: float = Field(default=12.0, ge=0, description="Laplacian variance below which it is 'blurred'.")
    unread_limit: int = Field(default=4, ge=1, le=100, description="Unread frames that make a fast source wait.")

    def state_rules(self, fps: float) -> StateRules:
        """Give the thresholds of a camera's state; a slow camera is given three periods before it counts as silent."""
        look_s = min(2.0, self.frozen_s / 4, self.settle_s / 1.5, 2 * self.recover_s)
        return StateRules(
            offline_s=max(self.offline_s, 3 / fps),
            frozen_s=max(self.frozen_s, 3 / fps),
            settle_s=self.settle_s,
            recover_s=self.recover_s,
            dark_luma=self.dark_luma,
            blurred_sharpness=self.blurred_sharpness,
            look_s=look_s,
            rest_s=4 * look_s,
        )
