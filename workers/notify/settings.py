"""Settings of the notifier, from the environment (``MASKWATCH_NOTIFY_…``) or the command line."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.settings import ENV_PREFIX
from workers.notify.schedule import Schedule


class NotifySettings(BaseSettings):
    """What only the notifier asks for."""

    model_config = SettingsConfigDict(env_prefix=f"{ENV_PREFIX}NOTIFY_", extra="forbid", frozen=True)

    receivers: Path = Field(description="YAML file that lists the receivers.")
    first_retry_s: float = Field(default=1.0, gt=0, le=600, description="Pause after the first failure; it doubles.")
    longest_retry_s: float = Field(default=60.0, gt=0, le=3600, description="Longest pause between two attempts.")
    retry_for_s: float = Field(default=86_400.0, gt=0, le=2_592_000, description="An event is given up after this.")
    pending: int = Field(default=5000, ge=1, le=100_000, description="Undelivered events that a receiver may hold.")
    lease_s: float = Field(default=6.0, ge=1, le=60, description="Another takes over after this long without a sign.")
    save_every_s: float = Field(default=1.0, gt=0, le=60, description="How often a receiver's place is stored.")

    def schedule(self, retry_for_s: float | None = None) -> Schedule:
        """Give the times of attempts; a receiver may have its own ``retry_for_s``."""
        return Schedule(self.first_retry_s, self.longest_retry_s, retry_for_s or self.retry_for_s)
