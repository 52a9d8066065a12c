"""A small site for infer's tests: pictures, published frames, workers in a thread or process, and what came out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common import jpeg
from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.lag import broker_now_ms
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.lifecycle import StopSignal
from common.schema import CameraMark, CameraState, FrameHeader, FrameResult, MarkResult, encode, read_result
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from tests.brokers import Brokers
from tests.waiting import until
from workers.infer import service
from workers.infer.settings import InferSettings

ROOT = Path(__file__).resolve().parents[1]
POISON_BGR = (200, 20, 220)
"""A picture of this colour is what the backends in ``tests.infer_backends`` fail on."""


def a_jpeg(seed: int = 0, size: tuple[int, int] = (320, 192)) -> bytes:
    """Make a blotchy grey picture, (width, height) px, that holds no face."""
    blotches = np.random.default_rng(seed).integers(60, 120, (size[1] // 32, size[0] // 32, 1), np.uint8)
    picture = np.repeat(blotches.repeat(32, 0).repeat(32, 1), 3, axis=2)
    return jpeg.encode(np.ascontiguousarray(picture))


def poison_jpeg() -> bytes:
    """Make the picture that marked backends fail on."""
    return jpeg.encode(np.full((192, 320, 3), POISON_BGR, np.uint8))


@dataclass
class Site:
    """One test's cameras on its own keys."""

    brokers: Brokers
    pair: EmbeddedPair
    folder: Path
    session: int = 1
    published: dict[str, int] = field(default_factory=dict)

    def plan(self, *cameras: str) -> None:
        """Put a plan with these cameras in force."""
        ensure_layout(self.brokers.state, self.brokers.keys.prefix, self.brokers.keys.partitions)
        plan = SitePlan(site="test", cameras=[Camera(id=name, source="synthetic:test") for name in cameras])
        PlanStore(self.brokers.state, self.brokers.keys.prefix).publish(plan.to_bytes())

    def publish(self, camera: str, data: bytes | None = None, *, maxlen: int = 500) -> int:
        """Publish one frame and give its sequence number."""
        seq = self.published.get(camera, 0)
        self.published[camera] = seq + 1
        header = FrameHeader(session=self.session, seq=seq, captured_at=time.time(), width=320, height=192)
        self.brokers.writer().append(camera, encode(header), a_jpeg(seq) if data is None else data, maxlen)
        return seq

    def publish_aged(self, camera: str, age_s: float) -> None:
        """Publish a frame that the broker dates ``age_s`` seconds back; only the first one of a stream can be."""
        header = FrameHeader(session=self.session, seq=0, captured_at=time.time(), width=320, height=192)
        entry_id = f"{broker_now_ms(self.brokers.frames) - round(1000 * age_s)}-0"
        key = self.brokers.keys.frames(camera)
        call(self.brokers.frames, "XADD", key, entry_id, "h", encode(header), "jpeg", a_jpeg())
        self.published[camera] = 1

    def mark(self, camera: str, *, final: bool = False) -> None:
        """Publish a mark of the camera's producer."""
        now = time.time()
        next_seq = self.published.get(camera, 0)
        mark = CameraMark(
            session=self.session, next_seq=next_seq, at=now, state=CameraState.ONLINE, since=now, final=final
        )
        self.brokers.writer().append(camera, encode(mark), None, 500)

    def foreign(self, camera: str, **fields: bytes) -> None:
        """Put a message into a camera's stream that is not ours."""
        pairs = [part for pair in fields.items() for part in pair]
        call(self.brokers.frames, "XADD", self.brokers.keys.frames(camera), "*", *pairs)

    def messages(self, camera: str) -> list[FrameResult | MarkResult]:
        """Read everything that infer said of a camera, in order."""
        key = self.brokers.keys.results(self.brokers.keys.partition_of(camera))
        found = [read_result(fields[b"r"]) for _, fields in call(self.brokers.state, "XRANGE", key, "-", "+")]
        return [message for message in found if message.camera == camera]

    def results(self, camera: str) -> list[FrameResult]:
        """Read the results of a camera's frames, in order."""
        return [message for message in self.messages(camera) if isinstance(message, FrameResult)]

    def letters(self, camera: str) -> list[dict[str, str]]:
        """Read the dead letters of a camera."""
        key = self.brokers.keys.dead_letters(self.brokers.keys.partition_of(camera))
        found = call(self.brokers.state, "XRANGE", key, "-", "+")
        plain = [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]
        return [letter for letter in plain if letter["camera"] == camera]

    def finished(self, *cameras: str) -> bool:
        """Say whether every published frame of these cameras has a result."""
        return all({r.seq for r in self.results(c)} >= set(range(self.published[c])) for c in cameras)

    def pending(self, camera: str) -> int:
        """Say how many entries of a camera were read and not acknowledged."""
        return int(call(self.brokers.frames, "XPENDING", self.brokers.keys.frames(camera), "infer")["pending"])

    def settings(self, **changes: Any) -> InferSettings:
        """Make settings that suit a test: quick takeover, an OpenVINO cache of the session's."""
        defaults: dict[str, Any] = {
            "backend": "openvino",
            "cache_dir": self.folder / "openvino",
            "reclaim_idle_s": 1.0,
            "reclaim_every_s": 0.1,
            "keepalive_s": 0.3,
            "block_s": 0.1,
            "frames_kept_s": 300.0,
        }
        return InferSettings(**{**defaults, **changes})

    def connection(self, max_age_s: float = 30.0, **changes: Any) -> ServiceSettings:
        """Make the connection of the test's brokers and keys."""
        return ServiceSettings(
            frames_url=self.pair.frames.url,
            state_url=self.pair.state.url,
            prefix=self.brokers.keys.prefix,
            partitions=self.brokers.keys.partitions,
            max_age_s=max_age_s,
            **changes,
        )

    @contextmanager
    def worker(self, connection: ServiceSettings | None = None, **changes: Any) -> Iterator[Running]:
        """Run a worker in a thread of this process."""
        running = Running(StopSignal())
        thread = threading.Thread(
            target=running.run, args=(connection or self.connection(), self.settings(**changes)), daemon=True
        )
        thread.start()
        try:
            yield running
        finally:
            running.stop.set()
            thread.join(15)
            assert not thread.is_alive(), "the worker did not end"

    @contextmanager
    def process(self, max_age_s: float = 30.0, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker in a process of its own, to be killed."""
        question = {
            "connection": self.connection(max_age_s).model_dump(mode="json", exclude_none=True),
            "infer": self.settings(**changes).model_dump(mode="json", exclude_none=True),
        }
        child = subprocess.Popen([sys.executable, "-m", "tests.infer_process"], cwd=ROOT, stdin=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(json.dumps(question).encode())
        child.stdin.close()
        try:
            yield child
        finally:
            child.kill()
            child.wait()


@dataclass
class Running:
    """A worker in a thread."""

    stop: StopSignal
    status: int | None = None
    error: BaseException | None = None

    def run(self, connection: ServiceSettings, settings: InferSettings) -> None:
        try:
            self.status = service.run(connection, settings, self.stop)
        except BaseException as error:
            self.error = error


def wait_finished(site: Site, *cameras: str, timeout_s: float = 20.0) -> None:
    """Wait until every published frame of these cameras has a result."""
    until(lambda: site.finished(*cameras), timeout_s)
