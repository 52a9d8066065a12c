"""The front desk's own way to the state broker: the layout, the published plan, readers of results and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

from common.broker.client import Client, connect
from common.broker.events.log import EventLog
from common.broker.layout import agreed_layout
from common.broker.ownership import PartitionStore
from common.broker.planfeed import read_plan
from common.broker.plans import PlanStore
from common.errors import ConfigError
from common.partition import Keys
from common.settings import ServiceSettings, host_name, load
from common.siteplan import SitePlan
from maskwatch.run.neighbour import FRAMES, STATE, running_url

READ_BLOCK_S = 0.5


@dataclass(frozen=True, slots=True)
class StateDesk:
    """Everything the front desk reads from the state broker.

    Attributes:
        client: For commands.
        blocking: For reads that wait up to half a second.
        keys: Names of the installation's keys.
    """

    client: Client
    blocking: Client
    keys: Keys

    @classmethod
    def open(cls, settings: ServiceSettings) -> Self:
        """Connect, and fix or check the partition count.

        Raises:
            BrokerError: The broker does not answer, refuses, or holds another partition count.
        """
        password = secret(settings.state_password)
        client = connect(settings.state_url, password=password)
        partitions = agreed_layout(client, settings.prefix, settings.partitions)
        blocking = connect(settings.state_url, blocking_s=READ_BLOCK_S, password=password)
        return cls(client, blocking, Keys(settings.prefix, partitions))

    @property
    def plans(self) -> PlanStore:
        """The published site plan."""
        return PlanStore(self.client, self.keys.prefix)

    @property
    def events(self) -> EventLog:
        """The event log."""
        return EventLog(self.client, self.blocking, self.keys)

    @property
    def partitions(self) -> PartitionStore:
        """Results and judge state, for reading only: the front desk never takes a lease."""
        return PartitionStore(self.client, self.blocking, self.keys, f"desk@{host_name()}")

    def plan(self) -> SitePlan:
        """Give the plan in force.

        Raises:
            ConfigError: None was ever published, or the one in force cannot be read.
        """
        stored = self.plans.load()
        if stored is None:
            raise ConfigError("no site plan is published here; run: maskwatch site publish SITE.yaml")
        return read_plan(stored[1], f"published plan {stored[0]}")


def nearby_settings() -> ServiceSettings:
    """Read how to reach the state broker: what the environment names, else that of a run on this machine."""
    settings = load(ServiceSettings)
    if "state_url" in settings.model_fields_set:
        return settings
    state, frames = (running_url(which, settings.prefix) for which in (STATE, FRAMES))
    return load(ServiceSettings, state_url=state, frames_url=frames)


def desk() -> StateDesk:
    """Open the state broker of `nearby_settings`."""
    return StateDesk.open(nearby_settings())


def secret(value: SecretStr | None) -> str | None:
    """Unwrap a password at the moment of use."""
    return value.get_secret_value() if value else None
