"""A producer process: many cameras, one way to the broker, one janitor, one page of metrics."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TypeVar

import cv2

from common.allocator import share_one_arena
from common.broker.client import Client, connect, is_cluster
from common.broker.fitness import probe
from common.broker.frames.flow import outstanding
from common.broker.frames.janitor import Janitor
from common.broker.frames.writer import FrameWriter
from common.broker.layout import agreed_layout
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.broker.vitals import VitalSigns
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.health import HealthServer
from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer
from common.metrics import process_registry
from common.partition import Keys
from common.scale import beyond_trial
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from common.tracing import Tracing, opened_tracing
from producers import share
from producers.backoff import Backoff
from producers.camera import CameraRunner
from producers.desk import Surroundings
from producers.ledger import Drop
from producers.link import RETRY_FIRST_S, RETRY_MOST_S, BrokerLink
from producers.metrics import ProducerMetrics
from producers.planwatch import PlanWatch
from producers.roster import Roster
from producers.settings import ProducerSettings
from producers.sharedreader import SharedReader

_log = Log("producer")
_COMMAND_TIMEOUT_S = 2.0  # a frame that took longer to write would be too old to be looked at
_JANITOR_PERIOD_S = 1.0
_POLL_S = 0.1
_LINGER_S = 10.0  # a stream that its camera left is tidied for this long, or longer where frames are kept longer
_TURNS = 10
T = TypeVar("T")


def run(connection: ServiceSettings, producer: ProducerSettings, plan: SitePlan | None, stop: StopSignal) -> int:
    """Serve the chosen cameras until ``stop``, or until all are finite and finished.

    A broker that does not answer is waited for, at the start and later; frames are dropped and counted meanwhile.

    Args:
        connection: Brokers, metrics address and times.
        producer: Which cameras, and how patient.
        plan: The site plan, which then stays; None follows the published one: cameras that a newer plan adds, changes
            or removes start, start over or end, and the others notice nothing.
        stop: Asks for the end; final marks are sent within ``connection.grace_s``.

    Returns:
        Exit status 0.

    Raises:
        ConfigError: A camera or share that does not exist, a port in use; nothing was started.
        LayoutMismatchError: The installation has another partition count; nothing was published.
        BrokerUnfitError: The frames broker is too old or evicts keys; nothing was published.
    """
    share_one_arena()  # two threads for each camera, and pictures that one makes and the other drops
    share.check(producer.shard)
    cameras = None if plan is None else share.choose(plan, producer.cameras, producer.shard)
    registry = process_registry()
    cv2.setNumThreads(1)  # every camera has its own threads already
    with ExitStack() as stack:
        tracing = stack.enter_context(opened_tracing("producer", connection, registry, stop))
        process = _Process(connection, producer, ProducerMetrics(registry), stop, tracing)
        if connection.metrics_port is not None:
            address = (connection.metrics_host, connection.metrics_port)
            health = HealthServer(registry, address, alive=process.alive, ready=process.ready)
            _log.info("metrics_served", host=connection.metrics_host, port=stack.enter_context(health).port)
        if plan is not None:
            tracing.follow(plan)
            _tell_size(plan)
        process.serve(cameras)
    return 0


def _tell_size(plan: SitePlan) -> None:
    if advice := beyond_trial(len(plan.cameras)):
        _log.warning("plan_large", cameras=len(plan.cameras), advice=advice)


class _Process:
    def __init__(
        self,
        connection: ServiceSettings,
        producer: ProducerSettings,
        metrics: ProducerMetrics,
        stop: StopSignal,
        tracing: Tracing,
    ) -> None:
        self._connection = connection
        self._producer = producer
        self._metrics = metrics
        self._stop = stop
        self._tracing = tracing
        self._link: BrokerLink | None = None
        self._roster: Roster | None = None
        self._reader: SharedReader | None = None
        self._over = threading.Event()

    def alive(self) -> str:
        """Say what is wrong for `/healthz`: a thread that died."""
        if self._stop.is_set():
            return ""
        dead = self._roster.dead() if self._roster else []
        if self._reader is not None and self._reader.died:
            dead.append(self._reader.name)
        return f"threads died: {', '.join(dead)}" if dead else ""

    def ready(self) -> str:
        """Say what is wrong for `/readyz`."""
        if self._link is not None and self._roster is None:
            return "no site plan was published"
        if self._link is None or self._roster is None or not self._link.up:
            return "the frames broker does not answer"
        return "no camera has published yet" if self._roster.unheard() else ""

    def serve(self, cameras: Sequence[Camera] | None) -> None:
        """Run cameras to their end: the given ones, or those of the published plan."""
        password = self._connection.frames_password
        connecting = functools.partial(
            connect,
            self._connection.frames_url,
            password=password.get_secret_value() if password else None,
            timeout_s=_COMMAND_TIMEOUT_S,
        )
        with ExitStack() as stack:
            frames = self._patiently(connecting)
            if frames is None:
                return
            stack.callback(frames.close)
            facts = self._patiently(lambda: probe(frames, "frames"))
            state = self._patiently(self._open_state)
            if state is None or facts is None:
                return
            stack.callback(state.close)
            partitions = self._patiently(
                lambda: agreed_layout(state, self._connection.prefix, self._connection.partitions)
            )
            if partitions is None:
                return
            for warning in facts.warnings:
                _log.warning("frames_broker", advice=warning)
            keys = Keys(self._connection.prefix, partitions)
            # One node of a cluster that hangs would hold up the cameras of the others.
            if not is_cluster(frames):
                self._reader = stack.enter_context(closing(SharedReader()))
            self._work(cameras, (frames, state), keys)

    def _work(self, cameras: Sequence[Camera] | None, clients: tuple[Client, Client], keys: Keys) -> None:
        frames, state = clients
        link = self._link = BrokerLink(FrameWriter(frames, keys), self._metrics.broker, tracing=self._tracing)
        around = Surroundings(
            link=link,
            outstanding=functools.partial(outstanding, frames, keys),
            metrics=self._metrics,
            settings=self._producer,
            max_age_s=self._connection.max_age_s,
            reader=self._reader,
        )
        roster = Roster(
            lambda camera, stop: CameraRunner(camera, around, stop),
            functools.partial(self._forget, around),
            max(_LINGER_S, 2 * self._connection.max_age_s),
        )
        arguments = (Janitor(frames, keys), link, roster, VitalSigns(frames, "frames", self._metrics.broker))
        tidying = threading.Thread(target=self._tidy, args=arguments, name="janitor", daemon=True)
        tidying.start()
        if cameras is not None:
            self._run_these(roster, cameras)
        else:
            self._run_published(roster, PlanFeed(PlanStore(state, keys.prefix), self._connection.privacy_floor))
        late = roster.drain(Deadline.after(self._connection.grace_s), self._stop.reason)
        _log.info("producer_ends", reason=self._stop.reason or "all cameras finished", unfinished=late)
        self._stop.wait(self._connection.max_age_s)
        self._over.set()  # one more round removes what a finished camera left; only then may its client be closed
        tidying.join(_JANITOR_PERIOD_S + _COMMAND_TIMEOUT_S)

    def _forget(self, around: Surroundings, camera: str) -> None:
        self._metrics.forget(camera, (reason.value for reason in Drop))
        around.losses.forget(camera)
        around.link.forget(camera)

    def _run_these(self, roster: Roster, cameras: Sequence[Camera]) -> None:
        _log.info("producer_starts", cameras=len(cameras), shard=self._producer.shard or "1/1", plan="file")
        self._roster = roster
        roster.follow(cameras)
        while not self._stop.wait(_POLL_S) and cameras and not roster.finished():
            pass

    def _run_published(self, roster: Roster, feed: PlanFeed) -> None:
        with PlanWatch(feed, self._metrics, self._stop) as watch:
            while not self._stop.wait(_POLL_S) and not roster.finished():
                plan = watch.take()
                if plan is None:
                    roster.step()
                else:
                    self._tracing.follow(plan)
                    roster.follow(self._chosen(plan))
                    _log.info("plan", site=plan.site, cameras=len(plan.cameras))
                    _tell_size(plan)
                    self._roster = roster

    def _chosen(self, plan: SitePlan) -> list[Camera]:
        """Pick this process's cameras; a name that the first plan lacks is a slip, one that a later lacks has left."""
        names, shard = self._producer.cameras, self._producer.shard
        if self._roster is None:
            return share.choose(plan, names, shard)
        for name in share.missing(plan, names):
            _log.warning("camera_not_in_plan", camera=name)
        return share.follow(plan, names, shard)

    def _open_state(self) -> Client:
        password = self._connection.state_password
        return connect(self._connection.state_url, password=password.get_secret_value() if password else None)

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

    def _tidy(self, janitor: Janitor, link: BrokerLink, roster: Roster, vitals: VitalSigns) -> None:
        """Remove frames that are too old, so that none outlives its use; the link tells of a broker that is away.

        Streams that can hold no frame of this process, only marks, take turns.
        """
        shown_s, turn, last = self._connection.max_age_s + _LINGER_S, 0, False
        while not last and not self._stop.wait(_JANITOR_PERIOD_S):
            last = self._over.is_set()
            turn = (turn + 1) % _TURNS
            due = [name for name in roster.tidied() if link.showed(name, shown_s) or hash(name) % _TURNS == turn]
            try:
                vitals.look(time.monotonic())
                janitor.trim({*due, *roster.gone()}, self._connection.max_age_s)
            except BrokerError as error:
                _log.debug("janitor_failed", code=error.code)
