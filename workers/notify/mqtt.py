"""Events on an MQTT broker, for those who live there: QoS 1, camera status retained, a last will."""

from __future__ import annotations

import re
import secrets
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from common.errors import ConfigError
from common.events import CAMERA_STATUS_TYPE
from common.lifecycle import Deadline
from common.settings import read_secret
from common.subscription import Event
from workers.notify.outcome import Outcome
from workers.notify.receivers import Mqtt

KEEPALIVE_S = 30
SLICE_S = 0.1
_SOURCE = re.compile(r"/sites/([^/+#]+)(?:/cameras/([^/+#]+))?(?:/.*)?")
_UNSAFE = re.compile(r"[/+#\s]")


def topics_of(event: Event, first: str) -> list[tuple[str, bool]]:
    """Give the topics an event goes to, and whether it is retained there.

    ``<first>/<site>/<camera>/events/<type>``; an event of a whole site goes to ``<first>/<site>/events/<type>``. A
    camera's status goes to ``<first>/<site>/<camera>/status`` as well, retained.
    """
    match = _SOURCE.fullmatch(event.body["source"])
    site, camera = match.groups() if match else ("unknown", None)
    place = f"{first}/{site}/{camera}" if camera else f"{first}/{site}"
    topics = [(f"{place}/events/{_UNSAFE.sub('-', event.type)}", False)]
    if event.type == CAMERA_STATUS_TYPE and camera:
        topics.append((f"{place}/status", True))
    return topics


class MqttSender:
    """Publishes to one MQTT broker. The client library keeps the connection up in a thread of its own.

    ``<topic>/notify/<name>`` holds ``online``, or ``offline`` by last will, retained.
    """

    def __init__(self, mqtt: Mqtt, name: str) -> None:
        """Prepare a client; nothing is connected before the first `send`.

        Raises:
            ConfigError: Password or certificates cannot be read.
        """
        parts = urlsplit(mqtt.url)
        self._mqtt = mqtt
        self._address = parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._will = f"{mqtt.topic}/notify/{name}"
        self._connected = threading.Event()
        self._cancelled = threading.Event()
        self._started = False
        self._client = Client(CallbackAPIVersion.VERSION2, f"maskwatch-{name}-{secrets.token_hex(4)}")
        self._client.reconnect_delay_set(1, 30)
        self._client.will_set(self._will, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        if mqtt.user:
            named = f"{name}.mqtt.password"
            secret = read_secret(mqtt.password, named).get_secret_value() if mqtt.password else None
            self._client.username_pw_set(mqtt.user, secret)
        if parts.scheme == "mqtts":
            try:
                self._client.tls_set_context(ssl.create_default_context(cafile=mqtt.ca_file))
            except OSError as error:
                raise ConfigError(f"{name}.mqtt.ca_file: cannot be used: {error.strerror}") from error

    @property
    def place(self) -> str:
        """Host and port, for logs."""
        return f"{self._address[0]}:{self._address[1]}"

    def send(self, event: Event, now: float) -> Outcome:  # noqa: ARG002 - a way may need the time; this one does not
        """Publish once and wait for the broker's word."""
        deadline = Deadline.after(self._mqtt.timeout_s)
        self._cancelled.clear()
        if not self._is_up(deadline):
            return Outcome.UNREACHABLE
        for topic, retain in topics_of(event, self._mqtt.topic):
            info = self._client.publish(topic, event.raw, qos=1, retain=retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return Outcome.UNREACHABLE
            if not self._is_acknowledged(info, deadline):
                return Outcome.TIMEOUT
        return Outcome.DELIVERED

    def cancel(self) -> None:
        """End a wait that is under way."""
        self._cancelled.set()

    def close(self) -> None:
        """Say ``offline`` and leave in order."""
        if not self._started:
            return
        if self._connected.is_set():
            self._cancelled.clear()
            self._is_acknowledged(self._client.publish(self._will, "offline", qos=1, retain=True), Deadline.after(1))
        self._client.disconnect()
        self._client.loop_stop()

    def _is_up(self, deadline: Deadline) -> bool:
        if not self._started:
            self._client.connect_async(*self._address, keepalive=KEEPALIVE_S)
            self._client.loop_start()
            self._started = True
        while not self._connected.wait(min(SLICE_S, deadline.left_s())):
            if deadline.spent() or self._cancelled.is_set():
                return False
        return True

    def _is_acknowledged(self, info: MQTTMessageInfo, deadline: Deadline) -> bool:
        while not info.is_published():
            if deadline.spent() or self._cancelled.is_set() or not self._connected.is_set():
                return False
            info.wait_for_publish(min(SLICE_S, deadline.left_s()))
        return True

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.publish(self._will, "online", qos=1, retain=True)
            self._connected.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._connected.clear()
