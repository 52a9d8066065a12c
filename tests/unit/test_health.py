"""The health server of a process: metrics, alive, ready, and a clear word about a taken port."""

from __future__ import annotations

import http.client

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.errors import PortInUseError
from common.health import HealthServer
from common.metrics import BrokerMetrics, CollectorRegistry


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_can_be_scraped() -> None:
    registry = CollectorRegistry()
    BrokerMetrics(registry).errors.labels("state", "oom").inc(3)
    with HealthServer(registry, ("127.0.0.1", 0)) as server:
        status, text = get(server.port, "/metrics")
    assert status == 200
    values = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert values["maskwatch_broker_errors_total"] == 3


def test_alive_and_ready_are_two_questions() -> None:
    with HealthServer(CollectorRegistry(), ("127.0.0.1", 0), ready=lambda: "broker does not answer") as server:
        assert get(server.port, "/healthz") == (200, "ok\n")
        assert get(server.port, "/readyz") == (503, "broker does not answer\n")
        assert get(server.port, "/")[0] == 404


def test_a_taken_port_is_named_and_the_holder_goes_on() -> None:
    with HealthServer(CollectorRegistry(), ("127.0.0.1", 0)) as holder:
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{holder.port} cannot be used"):
            HealthServer(CollectorRegistry(), ("127.0.0.1", holder.port))
        assert get(holder.port, "/healthz")[0] == 200


def test_a_closed_server_gives_its_port_back() -> None:
    first = HealthServer(CollectorRegistry(), ("127.0.0.1", 0))
    first.close()
    HealthServer(CollectorRegistry(), ("127.0.0.1", first.port)).close()
