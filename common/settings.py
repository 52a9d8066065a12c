"""Settings that every process needs, read once from the environment. The only reader of environment variables.

Precedence: command line, then environment (``MASKWATCH_…``), then default. Secrets come from a file named by
``…_PASSWORD_FILE`` or from the environment, never from the command line.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.advice import explain, nearest
from common.errors import ConfigError

ENV_PREFIX = "MASKWATCH_"
SECTIONS = ("PRODUCER_", "INFER_", "JUDGE_", "NOTIFY_", "TRAINER_", "MODELS_", "OTEL_")
"""What a service adds to the prefix for settings of its own, so that one environment file can serve them all."""

S = TypeVar("S", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """What producers, workers and trainers have in common."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    frames_url: str = Field(default="redis://127.0.0.1:6379/0", description="Broker of frames; keeps nothing on disk.")
    state_url: str = Field(default="redis://127.0.0.1:6379/0", description="Broker of results, events and state.")
    frames_password: SecretStr | None = Field(default=None, description="Password of the frames broker.")
    state_password: SecretStr | None = Field(default=None, description="Password of the state broker.")
    frames_password_file: Path | None = Field(default=None, description="File that holds it instead.")
    state_password_file: Path | None = Field(default=None, description="File that holds it instead.")
    prefix: str = Field(default="mw", pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$", description="First part of every key.")
    partitions: int | None = Field(default=None, ge=1, le=1024, description="Partitions at first start; then stored.")
    metrics_host: str = Field(default="127.0.0.1", description="Address that /metrics and health checks listen on.")
    metrics_port: int | None = Field(default=None, ge=0, le=65535, description="Port of them; 0 takes a free one.")
    privacy_floor: Literal["full", "redacted", "statistics"] = Field(
        default="full", description="Least privacy: a site plan of a weaker privacy.mode is not used."
    )
    max_age_s: float = Field(default=2.0, gt=0, le=60, description="Frames older than this are not looked at.")
    grace_s: float = Field(default=8.0, gt=0, le=300, description="Seconds to finish work after SIGTERM.")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least that is logged.")
    log_format: str = Field(default="text", pattern="^(text|json)$", description="For people or for machines.")

    @model_validator(mode="after")
    def _read_password_files(self) -> Self:
        for name in ("frames", "state"):
            path: Path | None = getattr(self, f"{name}_password_file")
            if path is None:
                continue
            try:
                secret = SecretStr(path.read_text("utf-8").strip())
            except OSError as error:
                raise ValueError(f"{name}_password_file: cannot be read: {error.strerror}") from error
            object.__setattr__(self, f"{name}_password", secret)
        return self


class ModelsSettings(BaseSettings):
    """Where model versions are kept and whose signatures count: ``MASKWATCH_MODELS_…``."""

    model_config = SettingsConfigDict(env_prefix="MASKWATCH_MODELS_", extra="forbid", frozen=True)

    registry: Path | None = Field(default=None, description="Folder of the registry; else the state broker keeps it.")
    trusted_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Files of public keys, separated by commas; signatures by others are refused."
    )
    require_signature: bool = Field(default=False, description="Refuse versions without a signature.")
    keep: int = Field(default=10, ge=2, le=1000, description="Versions of each kind that are kept although unused.")

    @field_validator("trusted_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class OtelSettings(BaseSettings):
    """Where the ways of frames are told of, as OpenTelemetry traces: ``MASKWATCH_OTEL_…``; needs the extra ``otel``."""

    model_config = SettingsConfigDict(env_prefix="MASKWATCH_OTEL_", extra="forbid", frozen=True)

    endpoint: str = Field(default="", description="OTLP/HTTP receiver, 'http://collector:4318'; empty: no export.")
    ratio: float = Field(default=0.01, ge=0, le=1, description="Share of frames followed; those with an event always.")
    headers: SecretStr | None = Field(default=None, description="Headers for it: name=value, separated by commas.")
    headers_file: Path | None = Field(default=None, description="File that holds them instead.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust there; else the usual ones.")
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="Longest that one attempt may take, with repeats.")
    queue: int = Field(default=4096, ge=1, le=100_000, description="Spans that may wait; more are dropped.")

    @field_validator("endpoint")
    @classmethod
    def _is_plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, password or query; put secrets into headers_file")
        return url

    @model_validator(mode="after")
    def _read_files(self) -> Self:
        for path in (self.headers_file, self.ca_file):
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"{path.name}: cannot be read")
        if self.headers_file is not None:
            object.__setattr__(self, "headers", SecretStr(self.headers_file.read_text("utf-8").strip()))
        return self


def load(model: type[S], **overrides: Any) -> S:
    """Read settings; ``overrides`` come from the command line and win where they are not None.

    Raises:
        ConfigError: A value is out of range, or a variable with the model's prefix is not known; the nearest is named.
    """
    prefix = str(model.model_config.get("env_prefix", ""))
    known = {f"{prefix}{name.upper()}" for name in model.model_fields}
    foreign = tuple(ENV_PREFIX + section for section in SECTIONS) if prefix == ENV_PREFIX else ()
    for name in os.environ:
        if name.startswith(prefix) and name not in known and not name.startswith(foreign):
            raise ConfigError(f"{name}: unknown variable{nearest(name, known)}")
    try:
        return model(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(explain(error, model)) from error


def read_secret(reference: str, named: str) -> SecretStr:
    """Fetch a secret from where a file of settings says it is kept: ``env:NAME`` or ``file:PATH``.

    Raises:
        ConfigError: It is not there, or empty; ``named`` says which setting asked for it.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        found = os.environ.get(place, "")
    elif kind == "file":
        try:
            found = Path(place).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{named}: {place} cannot be read") from error
    else:
        raise ConfigError(f"{named}: must be env:NAME or file:PATH")
    if not found.strip():
        raise ConfigError(f"{named}: {reference} is empty or not set")
    return SecretStr(found.strip())


def host_name() -> str:
    """Name this machine, for consumer names and for the ``worker`` field of events."""
    return socket.gethostname()


def shared_folder() -> Path | None:
    """Find the images, videos and weights that are kept beside a checkout, where there are any."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "data").is_dir() else None
