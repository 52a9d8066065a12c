"""A producer process: many cameras in threads, one way to the broker, one janitor, one page of metrics."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2

from common.broker.client import Client, connect
from common.broker.fitness import probe
from common.broker.flow import outstanding
from common.broker.frames import FrameWriter, Janitor
from common.broker.layout import ensure_layout
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.health import HealthServer
from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer
from common.metrics import process_registry
from common.partition import Keys
from common.schema import CameraState
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from producers import share
from producers.backoff import Backoff
from producers.camera import CameraRunner, Surroundings
from producers.link import RETRY_FIRST_S, RETRY_MOST_S, BrokerLink
from producers.metrics import ProducerMetrics
from producers.settings import ProducerSettings

_log = Log("producer")
_COMMAND_TIMEOUT_S = 2.0  # a frame that took longer to write would be too old to be looked at
_JANITOR_PERIOD_S = 1.0
_POLL_S = 0.1
T = TypeVar("T")


def run(connection: ServiceSettings, producer: ProducerSettings, plan: SitePlan, stop: StopSignal) -> int:
    """Serve the chosen cameras until ``stop``, or until all are finite and finished.

    A broker that does not answer is waited for, at the start and later; frames are dropped and counted meanwhile.

    Args:
        connection: Brokers, metrics address and times.
        producer: Which cameras, and how patient.
        plan: The site plan.
        stop: Asks for the end; final marks are sent within ``connection.grace_s``.

    Returns:
        Exit status 0.

    Raises:
        ConfigError: A camera or share that does not exist, a port in use; nothing was started.
        LayoutMismatchError: The installation has another partition count; nothing was published.
        BrokerUnfitError: The frames broker is too old or evicts keys; nothing was published.
    """
    cameras = share.choose(plan, producer.cameras, producer.shard)
    registry = process_registry()
    process = _Process(connection, producer, ProducerMetrics(registry), stop)
    cv2.setNumThreads(1)  # every camera has its own threads already
    if connection.metrics_port is None:
        process.serve(cameras)
        return 0
    address = (connection.metrics_host, connection.metrics_port)
    with HealthServer(registry, address, alive=process.alive, ready=process.ready) as health:
        _log.info("metrics_served", host=connection.metrics_host, port=health.port)
        process.serve(cameras)
    return 0


class _Process:
    def __init__(
        self, connection: ServiceSettings, producer: ProducerSettings, metrics: ProducerMetrics, stop: StopSignal
    ) -> None:
        self._connection = connection
        self._producer = producer
        self._metrics = metrics
        self._stop = stop
        self._link: BrokerLink | None = None
        self._runners: list[CameraRunner] = []
        self._threads: list[threading.Thread] = []

    def alive(self) -> str:
        """Say what is wrong for `/healthz`: a thread that died."""
        dead = [thread.name for thread in self._threads if not thread.is_alive() and not self._ended(thread)]
        return f"threads died: {', '.join(dead)}" if dead else ""

    def ready(self) -> str:
        """Say what is wrong for `/readyz`."""
        if self._link is None or not self._link.up:
            return "the frames broker does not answer"
        if any(runner.ledger.published for runner in self._runners):
            return ""
        states = [runner.condition.state if runner.condition else None for runner in self._runners]
        return "" if all(state is CameraState.OFFLINE for state in states) else "no camera has published yet"

    def serve(self, cameras: Sequence[Camera]) -> None:
        """Run all cameras to their end."""
        password = self._connection.frames_password
        connecting = functools.partial(
            connect,
            self._connection.frames_url,
            password=password.get_secret_value() if password else None,
            timeout_s=_COMMAND_TIMEOUT_S,
        )
        frames = self._patiently(connecting)
        facts = self._patiently(lambda: probe(frames, "frames")) if frames else None
        partitions = self._patiently(self._layout)
        if frames is None or facts is None or partitions is None:
            return
        for warning in facts.warnings:
            _log.warning("frames_broker", advice=warning)
        keys = Keys(self._connection.prefix, partitions)
        self._start(cameras, frames, keys)
        janitor = Janitor(frames, keys)
        threading.Thread(target=self._tidy, args=(janitor, cameras), name="janitor", daemon=True).start()
        while not self._stop.wait(_POLL_S) and any(thread.is_alive() for thread in self._threads):
            pass
        self._drain()
        self._stop.wait(self._connection.max_age_s)  # by then the janitor has removed what a finished camera left
        frames.close()

    def _start(self, cameras: Sequence[Camera], frames: Client, keys: Keys) -> None:
        link = self._link = BrokerLink(FrameWriter(frames, keys), self._metrics.broker)
        around = Surroundings(
            link=link,
            outstanding=functools.partial(outstanding, frames, keys),
            metrics=self._metrics,
            settings=self._producer,
            max_age_s=self._connection.max_age_s,
        )
        _log.info("producer_starts", cameras=len(cameras), shard=self._producer.shard or "1/1")
        self._runners = [CameraRunner(camera, around, self._stop) for camera in cameras]
        self._threads = [
            threading.Thread(target=runner.run, name=f"camera-{runner.camera.id}", daemon=True)
            for runner in self._runners
        ]
        for thread in self._threads:
            thread.start()

    def _drain(self) -> None:
        budget = Deadline.after(self._connection.grace_s)
        for thread in self._threads:
            thread.join(budget.left_s())
        late = [thread.name for thread in self._threads if thread.is_alive()]
        _log.info("producer_ends", reason=self._stop.reason or "all cameras finished", unfinished=late)

    def _ended(self, thread: threading.Thread) -> bool:
        runner = self._runners[self._threads.index(thread)]
        return runner.finished or self._stop.is_set()

    def _layout(self) -> int:
        password = self._connection.state_password
        client = connect(self._connection.state_url, password=password.get_secret_value() if password else None)
        try:
            return ensure_layout(client, self._connection.prefix, self._connection.partitions)
        finally:
            client.close()

    def _patiently(self, attempt: Callable[[], T]) -> T | None:
        """Repeat until the broker answers; None where the process is asked to stop first."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        lines = OncePer(5.0)
        while not self._stop.is_set():
            try:
                return attempt()
            except (BrokerUnavailableError, BrokerRefusedError) as error:
                if lines.permit(error.code) is not None:
                    _log.warning("waiting_for_broker", code=error.code, cause=str(error))
                self._stop.wait(backoff.next_s())
        return None

    def _tidy(self, janitor: Janitor, cameras: Sequence[Camera]) -> None:
        """Remove frames that are too old, so that none outlives its use; the link tells of a broker that is away."""
        names = [camera.id for camera in cameras]
        while not self._stop.wait(_JANITOR_PERIOD_S):
            try:
                janitor.trim(names, self._connection.max_age_s)
            except BrokerError as error:
                _log.debug("janitor_failed", code=error.code)
