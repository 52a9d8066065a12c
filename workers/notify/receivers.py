"""The file of receivers: who gets which events, and by which way."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.advice import explain
from common.errors import ConfigError
from common.events import Severity
from common.schema import CameraId
from common.subscription import Event, Subscription
from workers.notify.addresses import literal, objection

MAX_FILE_BYTES = 1 << 20
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "alert")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Webhook(_Part):
    """An HTTP receiver that is called with each event."""

    url: str = Field(min_length=1, description="https://… or http://…; or env:NAME or file:PATH that holds it.")
    secrets: list[str] = Field(min_length=1, max_length=2, description="env:NAME or file:PATH; two while you rotate.")
    allow_private: bool = Field(default=False, description="May lead to private, loopback or link-local addresses.")
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="An attempt may take so long in all.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for index, secret in enumerate(self.secrets):
            if not is_reference(secret):
                raise ValueError(f"secrets[{index}]: no secrets in this file; give env:NAME or file:PATH")
        if not is_reference(self.url):
            check_url(self.url, allow_private=self.allow_private)
        return self


class Mqtt(_Part):
    """An MQTT broker that events are published to."""

    url: str = Field(pattern=r"^mqtts?://[^@/?#]+/?$", description="mqtt://host:1883 or mqtts://host:8883.")
    user: str = Field(default="", max_length=200)
    password: str = Field(default="", description="env:NAME or file:PATH.")
    topic: str = Field(default="maskwatch", pattern=r"^[^+#/\s][^+#\s]{0,100}$", description="First part of topics.")
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="An attempt may take so long in all.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.password and not is_reference(self.password):
            raise ValueError("password: no secrets in this file; give env:NAME or file:PATH")
        return self


class Receiver(_Part):
    """One receiver: its way, and what it wants."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description="Name in logs, metrics and of its cursor.")
    webhook: Webhook | None = None
    mqtt: Mqtt | None = None
    types: list[str] = Field(default_factory=list, description="Types, such as violation.started or violation; or all.")
    cameras: list[CameraId] = Field(default_factory=list, description="Only these cameras; empty takes all.")
    severity: Severity | None = Field(default=None, description="Only events that have a severity, from this one up.")
    start: Literal["now", "0", 0] = Field(
        default="now", description="Where it begins the very first time; 0: the oldest."
    )
    retry_for_s: float | None = Field(default=None, gt=0, le=2_592_000, description="An event is given up after this.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.mqtt is None):
            raise ValueError("give either webhook or mqtt")
        return self

    def subscription(self) -> Subscription:
        """Give what to ask of the event log."""
        return Subscription(
            start=str(self.start),
            name=f"notify.{self.name}",
            cameras=tuple(self.cameras),
            types=tuple(self.types),
            remember="asked",
        )

    def wants(self, event: Event) -> bool:
        """Say whether an event is severe enough."""
        if self.severity is None:
            return True
        severity = event.body["data"].get("severity")
        return severity in SEVERITIES and SEVERITIES.index(severity) >= SEVERITIES.index(self.severity)


class ReceiverFile(_Part):
    """The whole file."""

    receivers: list[Receiver] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [receiver.name for receiver in self.receivers]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"receivers[{index}].name: '{name}' is already receivers[{names.index(name)}]")
        return self


def load_receivers(path: Path) -> list[Receiver]:
    """Read and check the file.

    Raises:
        ConfigError: It cannot be read or used; a line for each complaint. Values are not repeated.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ConfigError(f"{path}: no YAML{place}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no YAML") from error
    try:
        return ReceiverFile.model_validate(raw).receivers
    except ValidationError as error:
        lines = explain(error, ReceiverFile).replace("(top level): receivers[", "receivers[").splitlines()
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from error


def is_reference(text: str) -> bool:
    """Say whether a value names where it is kept rather than being it."""
    return text.startswith(("env:", "file:"))


def check_url(url: str, *, allow_private: bool) -> SplitResult:
    """Check a webhook's URL as far as that goes without looking its name up.

    Raises:
        ValueError: It cannot be called; the words do not repeat it, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url: not a URL") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("url: must begin with https:// or http://")
    if not host or not url.isascii() or any(character.isspace() or ord(character) < 32 for character in url):
        raise ValueError("url: no host, or characters in it that must be escaped")
    address = literal(host)
    if address and (trouble := objection(address, allow_private=allow_private)):
        raise ValueError(f"url: {trouble}")
    return parts
