"""A real Prometheus that scrapes a real run with our rules, for tests and for drawing the dashboards."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml

from tests.waiting import until

RULES = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"
SCRAPE_S = 1


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metrics_ports(parent: int) -> dict[str, int]:
    """Find the metrics ports of a run's roles by their command lines: role and number to port."""
    ports = {}
    for child in psutil.Process(parent).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "--metrics-port" in words and "maskwatch" in words:
            role = words[words.index("maskwatch") + 1]
            ports[f"{role} {child.pid}"] = int(words[words.index("--metrics-port") + 1])
    return ports


class Prometheus:
    """A server with a folder of its own; a context manager."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        """Take a folder for its data, and the ports to scrape, by role and number."""
        self.port = free_port()
        jobs: dict[str, list[str]] = {}
        for name, port in ports.items():
            jobs.setdefault(name.split()[0], []).append(f"127.0.0.1:{port}")
        settings = {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
            "rule_files": [str(path) for path in sorted(RULES.glob("*.rules.yml"))],
            "scrape_configs": [
                {"job_name": f"maskwatch-{role}", "static_configs": [{"targets": targets}]}
                for role, targets in jobs.items()
            ],
        }
        path = folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(settings))
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}",
                   f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        until(self._ready, 20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask for the value of an expression now."""
        return list(self._get("query", query=expression)["data"]["result"])

    def history(self, expression: str, seconds: float) -> list[dict[str, Any]]:
        """Ask for an expression over the last ``seconds`` s, a value each second."""
        now = time.time()
        found = self._get("query_range", query=expression, start=str(now - seconds), end=str(now), step="1")
        return list(found["data"]["result"])

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return dict(json.loads(answer.read()))

    def _ready(self) -> bool:
        try:
            return bool(self._get("status/runtimeinfo"))
        except OSError:
            return False
