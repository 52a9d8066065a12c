"""A broker's memory, disk and clock in the metrics of a process that talks to it."""

from __future__ import annotations

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.vitals import LOOK_EVERY_S, VitalSigns
from common.metrics import BrokerMetrics, CollectorRegistry


def value(registry: CollectorRegistry, name: str) -> float | None:
    """A series of the state endpoint."""
    return registry.get_sample_value(f"maskwatch_{name}", {"endpoint": "state"})


def test_memory_disk_and_clock_are_shown(private_broker: EmbeddedBroker) -> None:
    client = connect(private_broker.url)
    call(client, "CONFIG SET", "maxmemory", 1 << 28)
    registry = CollectorRegistry()
    signs = VitalSigns(client, "state", BrokerMetrics(registry))
    signs.look(0.0)
    assert value(registry, "clock_skew_seconds") == pytest.approx(0, abs=1)
    assert value(registry, "broker_memory_limit_bytes") == 1 << 28
    assert value(registry, "broker_persistence_ok") == 1
    before = value(registry, "broker_memory_bytes")
    assert before is not None
    call(client, "SET", "big", b"x" * (4 << 20))
    signs.look(LOOK_EVERY_S - 1)
    assert value(registry, "broker_memory_bytes") == before
    signs.look(LOOK_EVERY_S)
    assert (value(registry, "broker_memory_bytes") or 0) > before + (4 << 20) - 1


def test_a_user_who_may_not_ask_still_sees_the_clock(private_broker: EmbeddedBroker) -> None:
    call(connect(private_broker.url), "ACL SETUSER", "narrow", "reset", "on", ">pw", "+ping", "+hello", "+time")
    client = connect(private_broker.url.replace(f":{private_broker.password}@", "narrow:pw@"))
    registry = CollectorRegistry()
    signs = VitalSigns(client, "state", BrokerMetrics(registry))
    signs.look(0.0)
    signs.look(LOOK_EVERY_S)
    assert value(registry, "clock_skew_seconds") is not None
    assert value(registry, "broker_memory_bytes") is None
