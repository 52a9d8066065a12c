"""The notify role in a process of its own, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from common.broker.layout import ensure_layout
from tests.brokers import Brokers
from tests.waiting import until
from tests.webhook_receiver import SECRET

ROOT = Path(__file__).resolve().parents[1]
FAST = {
    "MASKWATCH_NOTIFY_FIRST_RETRY_S": "0.05",
    "MASKWATCH_NOTIFY_LONGEST_RETRY_S": "0.4",
    "MASKWATCH_NOTIFY_LEASE_S": "1",
}


class Notifier:
    """The role in a process of its own; what it logs is kept."""

    def __init__(self, environment: dict[str, str], path: Path) -> None:
        command = [sys.executable, "-m", "maskwatch", "notify", "--receivers", str(path), "--metrics-port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything logged so far."""
        return "".join(self.lines)

    def metric(self, name: str, **labels: str) -> float:
        """Value of a series from the process's own page; 0 where there is none."""
        wanted = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        for line in self.page("/metrics").splitlines():
            if line.startswith(f"{name}{{{wanted}}} " if labels else f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def page(self, path: str) -> str:
        """Fetch a page of the health server."""
        port = until(lambda: re.search(r"metrics_served .*port=(\d+)", self.text), 20).group(1)  # type: ignore[union-attr]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, and give the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(20)
        self._reader.join(5)
        return status

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.lines += iter(stream.readline, "")


Start = Callable[..., Notifier]


@contextmanager
def notifiers(folder: Path, brokers: Brokers, state_url: str) -> Iterator[Start]:
    """Give what starts notifiers on the test's own log, from entries of the file of receivers; ends them all."""
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    environment = os.environ | FAST | {"MASKWATCH_STATE_URL": state_url, "MASKWATCH_PREFIX": brokers.keys.prefix}
    started: list[Notifier] = []

    def make(*receivers: dict[str, Any], **more: str) -> Notifier:
        path = folder / "receivers.yaml"
        path.write_text(yaml.safe_dump({"receivers": list(receivers)}))
        started.append(Notifier(environment | {"HOOK_SECRET": SECRET} | more, path))
        return started[-1]

    try:
        yield make
    finally:
        for one in started:
            if one.process.poll() is None:
                one.end(signal.SIGKILL)
