"""A producer process's insides, run in a thread of the test, and everything it sends."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.plans import PlanStore
from common.lifecycle import StopSignal
from common.partition import Keys
from common.schema import CameraMark, FrameHeader, read_frame_message
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from producers import service
from producers.settings import ProducerSettings
from tests.brokers import fresh_keys

HASTY: dict[str, Any] = {
    "heartbeat_s": 0.2,
    "open_timeout_s": 4.0,
    "read_timeout_s": 0.6,
    "stall_s": 1.5,
    "retry_first_s": 0.1,
    "retry_most_s": 0.3,
    "offline_s": 0.4,
    "frozen_s": 0.6,
    "settle_s": 0.2,
    "recover_s": 0.1,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame as it came to the broker."""

    header: FrameHeader
    jpeg: bytes


class ProducerRun:
    """Runs the service over cameras, given or ``published``; remembers frames and marks after the janitor took them."""

    def __init__(
        self,
        pair: EmbeddedPair,
        cameras: Sequence[Camera],
        /,
        *,
        keys: Keys | None = None,
        max_age_s: float = 20.0,
        published: bool = False,
        **settings: Any,
    ) -> None:
        self.keys: Keys = keys or fresh_keys()
        self.stop = StopSignal()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.connection = ServiceSettings(
            frames_url=pair.frames.url,
            state_url=pair.state.url,
            prefix=self.keys.prefix,
            partitions=self.keys.partitions,
            metrics_port=self.port,
            max_age_s=max_age_s,
            grace_s=5,
        )
        self.plan = SitePlan(site="test", cameras=list(cameras))
        self.published = published
        self.plans = PlanStore(connect(pair.state.url), self.keys.prefix)
        if published and cameras:
            self.plans.publish(self.plan.to_bytes())
        self.code: int | None = None
        self._settings = ProducerSettings(**{**HASTY, **settings})
        self._client: Client = connect(pair.frames.url)
        self._seen: dict[str, str] = {}
        self._frames: dict[str, list[Sent]] = {}
        self._marks: dict[str, list[CameraMark]] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._client.close()

    def publish(self, *cameras: Camera) -> int:
        """Put another plan in force, which a run with ``published`` follows."""
        return self.plans.publish(SitePlan(site="test", cameras=list(cameras)).to_bytes())

    def end(self) -> int | None:
        """Ask for the end and wait for it."""
        self.stop.set("test")
        return self.join()

    def join(self, timeout_s: float = 20) -> int | None:
        """Wait until the service returns."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the producer does not end"
        return self.code

    def ended(self) -> bool:
        """Say whether the service has returned by itself."""
        return not self._thread.is_alive()

    def frames(self, camera: str = "cam") -> list[Sent]:
        """All frames so far."""
        self._collect(camera)
        return self._frames.get(camera, [])

    def marks(self, camera: str = "cam") -> list[CameraMark]:
        """All marks so far."""
        self._collect(camera)
        return self._marks.get(camera, [])

    def state(self, camera: str = "cam") -> str:
        """The state that the last mark tells."""
        marks = self.marks(camera)
        return marks[-1].state.value if marks else ""

    def forget(self) -> None:
        """Read from the start again, after the broker has lost everything."""
        self._seen.clear()

    def metric(self, name: str, **labels: str) -> float:
        """Read one sample of /metrics; 0 where it is not there."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in self.page("/metrics").splitlines():
            if line.startswith((name + "{", name + " ")) and all(item in line for item in wanted):
                return float(line.rpartition(" ")[2])
        return 0.0

    def page(self, path: str) -> str:
        """Read a page of the health server."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def _run(self) -> None:
        self.code = service.run(self.connection, self._settings, None if self.published else self.plan, self.stop)

    def _collect(self, camera: str) -> None:
        key = self.keys.frames(camera)
        start = f"({self._seen[camera]}" if camera in self._seen else "-"
        for entry_id, fields in call(self._client, "XRANGE", key, start, "+"):
            self._seen[camera] = entry_id.decode()
            content = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
            message = read_frame_message(content[b"h"])
            if isinstance(message, CameraMark):
                self._marks.setdefault(camera, []).append(message)
            else:
                self._frames.setdefault(camera, []).append(Sent(message, content[b"jpeg"]))
