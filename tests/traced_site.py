"""A small site of real processes whose ways of frames are exported, for the tests of tracing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.events.log import EventLog
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.schema import FrameResult, read_result
from common.siteplan import SitePlan
from tests.brokers import Brokers
from tests.waiting import until
from tests.webhook_receiver import SECRET

ROOT = Path(__file__).resolve().parents[1]
CAMERA = "gate-1"
GRACE_S = 4.0


@dataclass
class Role:
    """A role in a process of its own, and the file that it logs to."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """Everything logged so far."""
        return self.log.read_text("utf-8")

    def metric(self, name: str) -> float:
        """Sum up a series of its page; 0 where there is none."""
        port = until(lambda: re.search(r"metrics(?:_served)?\b.*?port=(\d+)", self.text), 150)
        with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}/metrics", timeout=5) as answer:  # type: ignore[union-attr]
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def end(self) -> tuple[int, float]:
        """Ask for the end; gives the exit status and how long it took, s."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        return status, time.monotonic() - began

    def loaded(self) -> set[str]:
        """Give the modules it had loaded when it ended."""
        (line,) = [line for line in self.text.splitlines() if line.startswith("LOADED ")]
        return set(line.split()[1:])


@dataclass
class TracedSite:
    """One camera, drawn to have violations at once."""

    folder: Path
    brokers: Brokers
    pair: EmbeddedPair
    roles: dict[str, Role] = field(default_factory=dict)

    def publish(self, **plan: Any) -> None:
        """Put the plan in force."""
        camera = {"id": CAMERA, "source": f"synthetic:{CAMERA}?seed=1", "fps": 4, "width": 640}
        ensure_layout(self.brokers.state, self.brokers.keys.prefix, self.brokers.keys.partitions)
        made = SitePlan.model_validate({"site": "s", "cameras": [camera]} | plan)
        PlanStore(self.brokers.state, self.brokers.keys.prefix).publish(made.to_bytes())

    def start(self, name: str, *arguments: str, **environment: str) -> Role:
        """Start a role."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MASKWATCH_")}
        clean |= {
            "MASKWATCH_FRAMES_URL": self.pair.frames.url,
            "MASKWATCH_STATE_URL": self.pair.state.url,
            "MASKWATCH_PREFIX": self.brokers.keys.prefix,
            "MASKWATCH_GRACE_S": str(GRACE_S),
            "MASKWATCH_MAX_AGE_S": "20",
            "PYTHONFAULTHANDLER": "1",
            "HOOK_SECRET": SECRET,
        }
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "tests.traced_role", name, *arguments, "--metrics-port", "0"]
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, env=clean | environment, stdout=file, stderr=file)
        self.roles[name] = Role(process, log)
        return self.roles[name]

    def start_all(self, hook_url: str = "", **environment: str) -> None:
        """Start judge, infer and producer, and a notifier where there is somebody to notify."""
        for name in ("judge", "infer", "producer"):
            self.start(name, **environment)
        if hook_url:
            hook = {"url": hook_url, "allow_private": True, "secrets": ["env:HOOK_SECRET"]}
            path = self.folder / "receivers.yaml"
            path.write_text(yaml.safe_dump({"receivers": [{"name": "desk", "webhook": hook, "start": 0}]}))
            self.start("notify", "--receivers", str(path), **environment)

    def events(self) -> list[dict[str, Any]]:
        """Read the log of events."""
        log = EventLog(self.brokers.state, self.brokers.state, self.brokers.keys)
        return [yaml.safe_load(item.event) for item in log.read(log.start_cursors("0"), 0, 200)]

    def results(self) -> list[FrameResult]:
        """Read the results of frames that infer wrote."""
        key = self.brokers.keys.results(self.brokers.keys.partition_of(CAMERA))
        found = [read_result(fields[b"r"]) for _, fields in call(self.brokers.state, "XRANGE", key, "-", "+")]
        return [message for message in found if isinstance(message, FrameResult)]

    def said(self) -> str:
        """Give what all roles logged, for a failed test to show."""
        lines = (line for role in self.roles.values() for line in role.text.splitlines())
        return "\n".join(line for line in lines if not line.startswith("LOADED "))

    def end_all(self) -> dict[str, tuple[int, float]]:
        """End all roles, the producer first; gives status and time of each."""
        return {name: self.roles[name].end() for name in ("producer", "infer", "judge", "notify") if name in self.roles}


@contextmanager
def traced_site(folder: Path, brokers: Brokers, pair: EmbeddedPair) -> Iterator[TracedSite]:
    """Give a site; no process of it is left behind."""
    site = TracedSite(folder, brokers, pair)
    try:
        yield site
    finally:
        for role in site.roles.values():
            if role.process.poll() is None:
                role.process.kill()
                role.process.wait()
