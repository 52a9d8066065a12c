"""Events on a real MQTT broker: topics, retained camera status, last will, and an outage in between."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from common.broker.embedded.brokers import EmbeddedPair
from tests.brokers import Brokers
from tests.event_writing import STARTED, STATUS, EventWriter
from tests.mqtt_broker import MqttBroker
from tests.notifier import Start, notifiers
from tests.waiting import until

pytestmark = pytest.mark.skipif(importlib.util.find_spec("amqtt") is None, reason="amqtt (an MQTT broker) is missing")


class Listener:
    """A subscriber to everything."""

    def __init__(self, port: int) -> None:
        self.messages: list[MQTTMessage] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda *found: self.messages.append(found[2])
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def on(self, topic: str) -> list[bytes]:
        """Payloads of a topic, in order."""
        return [bytes(message.payload) for message in self.messages if message.topic == topic]

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def start(tmp_path: Path, brokers: Brokers, broker_pair: EmbeddedPair) -> Iterator[Start]:
    """Starts notifiers on the test's own log; none outlives the test."""
    with notifiers(tmp_path, brokers, broker_pair.state.url) as make:
        yield make


@pytest.fixture
def writer(brokers: Brokers) -> EventWriter:
    """Writes into the test's own log."""
    return EventWriter(brokers.state, brokers.keys)


@pytest.fixture
def mqtt(tmp_path: Path) -> Iterator[MqttBroker]:
    """A broker of the test's own."""
    with MqttBroker(tmp_path) as broker:
        yield broker


def bus(broker: MqttBroker) -> dict[str, object]:
    """An entry of the file of receivers."""
    return {"name": "bus", "start": "0", "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "timeout_s": 2}}


def test_events_and_retained_status_and_last_will(start: Start, writer: EventWriter, mqtt: MqttBroker) -> None:
    listener = Listener(mqtt.port)
    made = writer.write("gate-1", 3)
    (status,) = writer.write("gate-1", 1, STATUS)
    notifier = start(bus(mqtt))
    topic = f"maskwatch/west/gate-1/events/{STARTED}"
    until(lambda: len(listener.on(topic)) == 3 and listener.on("maskwatch/west/gate-1/status"), 20)
    assert [json.loads(payload)["id"] for payload in listener.on(topic)] == made
    assert json.loads(listener.on(f"maskwatch/west/gate-1/events/{STATUS}")[0])["id"] == status
    late = Listener(mqtt.port)
    until(lambda: late.on("maskwatch/west/gate-1/status"), 20)
    assert set(late.on("maskwatch/notify/bus")) == {b"online"}  # this broker sends retained messages twice
    assert late.on(topic) == [], "events are not retained"
    notifier.end(signal.SIGKILL)
    until(lambda: late.on("maskwatch/notify/bus")[-1] == b"offline", 20)
    late.close()
    listener.close()


def test_nothing_is_lost_while_the_broker_is_away(start: Start, writer: EventWriter, mqtt: MqttBroker) -> None:
    notifier = start(bus(mqtt))
    first = writer.write("gate-1", 2)
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="delivered", receiver="bus") == 2, 20)
    mqtt.stop()
    second = writer.write("gate-1", 3)
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="unreachable", receiver="bus") >= 1, 20)
    mqtt.start()
    listener = Listener(mqtt.port)
    topic = f"maskwatch/west/gate-1/events/{STARTED}"
    until(lambda: notifier.metric("maskwatch_deliveries_total", outcome="delivered", receiver="bus") == 5, 40)
    assert first
    until(lambda: listener.on(topic), 20)
    got = [json.loads(payload)["id"] for payload in listener.on(topic)]
    assert got == second[-len(got) :]
    assert notifier.end() == 0
    until(lambda: b"offline" in listener.on("maskwatch/notify/bus"), 10)
    listener.close()
