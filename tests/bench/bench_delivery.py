"""Receivers that are away for minutes: what arrives, how soon after they are back, and what the others notice.

    python -m tests.bench.bench_delivery --outage 600

Three receivers: a webhook and an MQTT broker that go away, and a webhook that stays. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from common.broker.client import connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.layout import ensure_layout
from common.partition import Keys
from tests.event_writing import EventWriter
from tests.mqtt_broker import MqttBroker
from tests.waiting import until
from tests.webhook_receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()
BEFORE_S, CAMERAS = 5.0, 20


class Counted:
    """What arrived at an MQTT broker, over its restarts."""

    def __init__(self, port: int) -> None:
        self.ids: list[str] = []
        client = Client(CallbackAPIVersion.VERSION2, "bench", clean_session=False)
        client.on_connect = lambda client, *_: client.subscribe("maskwatch/+/+/events/#", qos=1)
        client.on_message = lambda *found: self.ids.append(json.loads(found[2].payload)["id"])
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        self.client = client


def entry(receiver: Receiver, name: str) -> dict[str, object]:
    webhook = {"url": receiver.url, "secrets": ["env:HOOK_SECRET"], "allow_private": True}
    return {"name": name, "start": "0", "webhook": webhook}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outage", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=2.0, help="events a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(Path(folder), persist=True, name="state") as broker:
        mqtt_folder = Path(folder) / "mqtt"
        mqtt_folder.mkdir()
        with Receiver(SECRET) as away, Receiver(SECRET) as stays, MqttBroker(mqtt_folder) as mqtt:
            print(json.dumps(measure(options, broker.url, Path(folder), (away, stays, mqtt))))


def measure(
    options: argparse.Namespace, url: str, folder: Path, ends: tuple[Receiver, Receiver, MqttBroker]
) -> dict[str, object]:
    away, stays, mqtt = ends
    client = connect(url)
    writer = EventWriter(client, Keys("mw", ensure_layout(client, "mw", 16)))
    file = folder / "receivers.yaml"
    bus = {"name": "bus", "start": "0", "mqtt": {"url": f"mqtt://127.0.0.1:{mqtt.port}"}}
    file.write_text(yaml.safe_dump({"receivers": [entry(away, "away"), entry(stays, "stays"), bus]}))
    counted = Counted(mqtt.port)
    command = [sys.executable, "-m", "maskwatch", "notify", "--receivers", str(file)]
    environment = os.environ | {"MASKWATCH_STATE_URL": url, "HOOK_SECRET": SECRET}
    written: dict[str, list[str]] = {}
    latest: dict[str, float] = {}

    def write_for(seconds: float) -> None:
        deadline, number = time.monotonic() + seconds, sum(map(len, written.values()))
        while time.monotonic() < deadline:
            camera = f"cam{number % CAMERAS}"
            (identity,) = writer.write(camera)
            written.setdefault(camera, []).append(identity)
            latest[identity] = time.monotonic()
            number += 1
            threading.Event().wait(1 / options.rate)

    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        write_for(BEFORE_S)
        until(lambda: len(away.ids()) == len(latest) == len(set(counted.ids)), 30)
        away.down()
        mqtt.stop()
        before_attempts = len(away.attempts)
        write_for(options.outage)
        away.up()
        mqtt.start()
        back = time.monotonic()
        everything = set(latest)
        took: dict[str, float] = {}
        until(lambda: _note(took, back, everything, {"webhook": away.ids(), "mqtt": counted.ids}), 180)
        arrived = {identity: at for at, identity in reversed(stays.attempts)}
        process.terminate()
        status = process.wait(20)
    counted.client.disconnect()
    delays = sorted(arrived[identity] - at for identity, at in latest.items())
    return {
        "events": len(everything),
        "outage_s": options.outage,
        "webhook_lost": len(everything - set(away.ids())),
        "webhook_repeats": len(away.accepted) - len(away.ids()),
        "webhook_all_there_after_s": round(took["webhook"], 1),
        "webhook_in_order": all(away.ids(camera) == ids for camera, ids in written.items()),
        "mqtt_lost": len(everything - set(counted.ids)),
        "mqtt_repeats": len(counted.ids) - len(set(counted.ids)),
        "mqtt_all_there_after_s": round(took["mqtt"], 1),
        "other_delay_ms_median": round(1000 * delays[len(delays) // 2], 1),
        "other_delay_ms_p99": round(1000 * delays[len(delays) * 99 // 100], 1),
        "other_repeats": len(stays.accepted) - len(stays.ids()),
        "attempts_seen_before": before_attempts,
        "exit_status": status,
    }


def _note(took: dict[str, float], back: float, wanted: set[str], found: dict[str, list[str]]) -> bool:
    for name, ids in found.items():
        if name not in took and wanted <= set(ids):
            took[name] = time.monotonic() - back
    return len(took) == len(found)


if __name__ == "__main__":
    main()
