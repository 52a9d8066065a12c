"""The services of docker-compose.yml at work: brokers and roles, each from its image, in Compose's own networks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.settings import ServiceSettings
from common.siteplan import load_plan
from maskwatch.connection import StateDesk
from tests.faults.witness import Witness
from tests.images.engine import Engine, EngineError
from tests.waiting import until

BROKERS = ("frames", "state")
ROLES = ("producer", "infer", "judge", "notify")
STARTED = "maskwatch.violation.started.v1"
PLAN = """site: rehearsal
cameras:
  - {id: hall, source: "synthetic:hall?seed=1", fps: 2, width: 640}
  - {id: gate, source: "synthetic:gate?seed=2", fps: 2, width: 640}
"""
# Somebody who does not answer: the notifier has to bear that.
RECEIVERS = """receivers:
  - {name: nobody, mqtt: {url: "mqtt://127.0.0.1:1883"}}
"""
_DESK = "images_desk"
_FRAMES_LEAST = 40
_PATIENCE_S = 600.0
_PULSE_S = 2.0
# Inside a container: is there a way out, and does the frames broker at that address answer?
_REACH = """
import json, socket, sys

routes = [line.split() for line in open("/proc/net/route").read().splitlines()[1:]]
try:
    socket.create_connection((sys.argv[1], 6379), 3).close()
    reached = True
except OSError:
    reached = False
print(json.dumps({"way_out": any(route[1] == "00000000" for route in routes), "frames": reached}))
"""
_MEMORY = """
from pathlib import Path

folder = Path("/sys/fs/cgroup")
file = next(path for path in (folder / "memory/memory.stat", folder / "memory.stat") if path.exists())
found = dict(line.split() for line in file.read_text().splitlines())
print(found.get("total_rss") or found["anon"])
"""


@dataclass
class Report:
    """What the run has shown.

    Attributes:
        accounts: Camera to its figures; ``unaccounted`` must be 0.
        started: Violations that began, as the operator's desk read them.
        roles: Role to what was seen of its container.
        wrong: What is not as it must be.
    """

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: int = 0
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Station:
    """Compose's services on an engine that is served; the project folder is a copy of the repository."""

    engine: Engine
    project: Path
    services: Mapping[str, Any]

    def compose(self, *words: str) -> str:
        """Run docker-compose.

        Raises:
            EngineError: It failed.
        """
        done = self.engine.compose(self.project, *words)
        if done.returncode != 0:
            raise EngineError(f"docker-compose {' '.join(words)}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def desk(self, *words: str) -> str:
        """Run a command as the operator does, by the service `desk`; gives what it printed.

        Raises:
            EngineError: It failed.
        """
        # In the foreground docker-compose 1 waits for an end that podman never tells it of.
        self.compose("run", "--detach", "--name", _DESK, "desk", *words)
        status = self.engine.podman("wait", _DESK, timeout_s=_PATIENCE_S).strip()
        said = self.engine.podman("logs", _DESK)
        self.engine.podman("rm", _DESK)
        if status != "0":
            raise EngineError(f"desk {' '.join(words)}: status {status}: {said[-1000:]}")
        return said

    def inspect(self, service: str, what: str) -> str:
        """Ask the engine of a service's container, in its template language."""
        return self.engine.podman("container", "inspect", "--format", what, _container(service)).strip()

    def inside(self, service: str, script: str, *words: str) -> str:
        """Run Python in a service's container."""
        return self.engine.podman("exec", _container(service), "python", "-c", script, *words)

    def healthy(self, service: str) -> bool:
        """Say whether Compose's own health check of a service passes."""
        return self.inspect(service, "{{.State.Health.Status}}") == "healthy"

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Have all health checks made while the block runs: without systemd, podman has no timer that would."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_PULSE_S):
                for name in self.engine.podman("ps", "--format", "{{.Names}}").split():
                    self.engine.call("podman", "healthcheck", "run", name)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(60)


def rehearse(station: Station) -> Report:
    """Run the site until violations were seen, end it in order, and look at what is left.

    Raises:
        EngineError: A service does not start.
        AssertionError: Something that must come did not come in time.
    """
    report = Report()
    (station.project / "site").mkdir(exist_ok=True)
    (station.project / "site" / "site.yaml").write_text(PLAN)
    (station.project / "secrets" / "receivers.yaml").write_text(RECEIVERS)
    with station.beating():
        station.compose("up", "--detach", "--no-build", *BROKERS, *ROLES)
        station.desk("site", "publish", "/site/site.yaml")
        for role in ROLES:
            until(lambda role=role: station.healthy(role), _PATIENCE_S)  # type: ignore[misc]
        with _witness(station) as witness:
            until(lambda: _busy(witness), _PATIENCE_S)
            until(lambda: _started(station) > 0, _PATIENCE_S)
            _look(station, report)
            station.compose("stop", "producer")
            until(lambda: witness.final(0) and witness.judged(), _PATIENCE_S)
            _take_stock(witness, report)
        report.started = _started(station)
        station.compose("stop", *ROLES, *BROKERS)
    for role in ROLES:
        status = int(station.inspect(role, "{{.State.ExitCode}}"))
        report.roles[role]["exit_status"] = status
        if status != 0:
            report.wrong.append(f"{role} ended with {status}")
    return report


@contextmanager
def _witness(station: Station) -> Iterator[Witness]:
    """Read results and accounts with the judge's rights, from this machine."""
    urls = {}
    for user, broker in {"infer": "frames", "judge": "state", "operator": "state"}.items():
        address = station.inspect(broker, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
        password = (station.project / "secrets" / user).read_text().strip()
        urls[user] = f"redis://{user}:{password}@{address}:6379/0"
    keys = StateDesk.open(ServiceSettings(state_url=urls["operator"])).keys
    plan = load_plan(station.project / "site" / "site.yaml")
    witness = Witness(urls["infer"], urls["judge"], keys, plan)
    try:
        yield witness
    finally:
        witness.close()


def _busy(witness: Witness) -> bool:
    accounts = witness.accounts()
    return all(camera in accounts and accounts[camera].processed >= _FRAMES_LEAST for camera in witness.cameras)


def _started(station: Station) -> int:
    lines = station.desk("events", "tail", "--from", "0", "--no-follow", "--json").splitlines()
    return sum(json.loads(line)["type"] == STARTED for line in lines if line.startswith("{"))


def _look(station: Station, report: Report) -> None:
    """Take what only a running container shows: the engine's settings, memory, and whom it reaches."""
    address = station.inspect("frames", "{{.NetworkSettings.Networks.images_frames.IPAddress}}")
    for role in ROLES:
        service = station.services[role]
        reach = json.loads(station.inside(role, _REACH, address))
        limit = int(station.inspect(role, "{{.HostConfig.Memory}}"))
        report.roles[role] = {
            **reach,
            "memory_mb": round(int(station.inside(role, _MEMORY)) / 1e6),
            "limit_mb": round(limit / 1e6),
            "read_only": station.inspect(role, "{{.HostConfig.ReadonlyRootfs}}") == "true",
        }
        expected = {
            "frames": "frames" in service["networks"],
            "way_out": bool({"cameras", "egress"} & set(service["networks"])),
            "read_only": True,
        }
        report.wrong += [
            f"{role}: {key} is not {value}" for key, value in expected.items() if report.roles[role][key] != value
        ]


def _take_stock(witness: Witness, report: Report) -> None:
    for camera, account in witness.accounts().items():
        dropped = account.all_dropped()
        figures = {"captured": account.captured, "processed": account.processed, "dropped": dropped}
        report.accounts[camera] = figures | {"unaccounted": account.unaccounted}
        if account.unaccounted or account.captured != account.processed + sum(dropped.values()):
            report.wrong.append(f"{camera}: frames are missing: {report.accounts[camera]}")


def _container(service: str) -> str:
    return f"images_{service}_1"
