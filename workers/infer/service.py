"""The infer role as a process: models, brokers and health around the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from common.allocator import share_one_arena
from common.broker.client import Client, connect
from common.broker.fitness import probe
from common.broker.frames.janitor import Janitor
from common.broker.frames.reader import FrameReader
from common.broker.lag import broker_now_ms
from common.broker.layout import agreed_layout
from common.broker.plans import PlanStore
from common.broker.results import DeadLetters, ResultWriter
from common.broker.vitals import VitalSigns
from common.errors import BrokerUnavailableError
from common.health import HealthServer
from common.lifecycle import StopSignal
from common.log import Log
from common.metrics import CollectorRegistry, process_registry
from common.partition import Keys
from common.settings import ModelsSettings, ServiceSettings, load
from common.siteplan import SitePlan
from common.tracing import Tracing, opened_tracing
from workers.infer.brokerclock import BrokerClock
from workers.infer.desk import Desk
from workers.infer.examining import Examiner
from workers.infer.holdings import Holdings
from workers.infer.intake import Intake, ReadLimits
from workers.infer.keeper import Keeper
from workers.infer.longsides import LongSides
from workers.infer.looking import Looker
from workers.infer.loop import InferLoop, Parts
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Outbox
from workers.infer.outcomes import Reporter
from workers.infer.patience import Backoff, Patience
from workers.infer.pictures.candidates import Candidates
from workers.infer.pictures.picturing import Picturing
from workers.infer.progress import Progress
from workers.infer.settings import InferSettings
from workers.infer.solo import Solo
from workers.infer.versions.models import Models, opened_models
from workers.infer.versions.shadow import Shadow
from workers.infer.vision.opening import decoder_for
from workers.infer.watch import Watch, Watched
from workers.infer.ways import Ways

_log = Log("infer")


def run(connection: ServiceSettings, infer: InferSettings, stop: StopSignal) -> int:
    """Look at frames until ``stop``; finishes the batch in work and hands the rest over.

    Args:
        connection: Brokers, key names, ages, metrics port.
        infer: How this worker reads and computes.
        stop: Asks for the end.

    Returns:
        0, the exit status of an orderly end.

    Raises:
        ConfigError: A setting, a trusted key or the metrics port cannot be used.
        ModelError: A model version may not serve.
        BackendError: The backend cannot run here, or fails on everything.
        BrokerError: A broker of another layout, or one that refuses for good. An outage is waited for instead.
    """
    share_one_arena()
    rules = load(ModelsSettings)
    registry = process_registry()
    with ExitStack() as stack:
        tracing = stack.enter_context(opened_tracing("infer", connection, registry, stop))
        worker = _Worker(connection, infer, InferMetrics(registry), Progress(), _State(), tracing)
        _show_health(worker, registry, stack)
        models = stack.enter_context(opened_models(rules, connection, infer, worker.metrics))
        stack.callback(models.serving.close)
        clients = stack.enter_context(_connected(connection, infer, stop))
        if clients is not None:
            _serve(worker, clients, models, stop)
    return 0


@dataclass(slots=True)
class _State:
    """What readiness asks."""

    intake: Intake | None = None
    watch: Watch | None = None

    def trouble(self) -> str:
        if self.intake is None or self.watch is None:
            return "models or brokers are not ready yet"
        if not self.watch.state_answers:
            return "the state broker does not answer"
        return "" if self.intake.answers or not self.watch.cameras else "the frames broker does not answer"


@dataclass(frozen=True, slots=True)
class _Clients:
    frames: Client
    blocking: Client
    state: Client
    models: Client
    keys: Keys


@dataclass(frozen=True, slots=True)
class _Ends:
    reader: FrameReader
    clock: BrokerClock
    looker: Looker
    candidates: Candidates
    sides: LongSides


@dataclass(frozen=True, slots=True)
class _Worker:
    connection: ServiceSettings
    infer: InferSettings
    metrics: InferMetrics
    progress: Progress
    state: _State
    tracing: Tracing


def _show_health(worker: _Worker, registry: CollectorRegistry, stack: ExitStack) -> None:
    connection, stall_s = worker.connection, worker.infer.stall_s
    if connection.metrics_port is None:
        return
    health = HealthServer(
        registry,
        (connection.metrics_host, connection.metrics_port),
        alive=lambda: worker.progress.stalled(time.monotonic(), stall_s),
        ready=worker.state.trouble,
    )
    stack.enter_context(health)
    _log.info("metrics", host=connection.metrics_host, port=health.port)


def _serve(worker: _Worker, clients: _Clients, models: Models, stop: StopSignal) -> None:
    infer = worker.infer
    reader = FrameReader(clients.frames, clients.blocking, clients.keys, infer.consumer)
    clock = BrokerClock(lambda: broker_now_ms(clients.frames))
    shadow = Shadow(worker.metrics, infer.consumer, lambda at: clock.now() - at, worker.connection.max_age_s)
    pictures = Picturing(worker.connection, clients.state, clients.keys, models.serving, worker.metrics)
    sides = LongSides(infer.long_side_px)
    ends = _Ends(reader, clock, Looker(models.serving, shadow.listen), pictures.candidates, sides)
    parts = _parts(worker, clients, ends, Patience(stop, worker.connection.grace_s))
    worker.state.intake, worker.state.watch = parts.intake, parts.watch
    keeper = Keeper(reader.keepalive, parts.holdings, worker.progress, infer.keepalive_s, infer.stall_s)
    _log.info("started", consumer=infer.consumer, backend=models.serving.current.signature.backend)
    with parts.watch, keeper, pictures, models.watch(clients.models, clients.keys, shadow):
        InferLoop(parts).run(stop)


def _parts(worker: _Worker, clients: _Clients, ends: _Ends, patience: Patience) -> Parts:
    infer, metrics = worker.infer, worker.metrics
    reader, clock, looker = ends.reader, ends.clock, ends.looker
    reporter, ways = Reporter(infer.consumer, clock.now), Ways(worker.tracing)
    metrics.listener = ways.time_stage if worker.tracing.exports else None
    return Parts(
        intake=Intake(reader, clock, _read_limits(infer), patience, metrics),
        watch=Watch(_watched(worker, clients, ends), metrics, infer.frames_kept_s),
        clock=clock,
        decoder=decoder_for(looker.serving.current.pipeline.backend, infer, metrics),
        looker=looker,
        examiner=Examiner(looker, Solo(infer), ends.sides, infer.reduced_decoding),
        desk=Desk(_outbox(worker, clients, patience), reporter, metrics, infer.consumer, ways),
        holdings=Holdings(),
        progress=worker.progress,
        patience=patience,
        metrics=metrics,
        limits=infer.limits(worker.connection.max_age_s),
        block_s=infer.block_s,
        candidates=ends.candidates,
        sides=ends.sides,
    )


def _watched(worker: _Worker, clients: _Clients, ends: _Ends) -> Watched:
    metrics = worker.metrics

    def on_plan(plan: SitePlan) -> None:
        worker.tracing.follow(plan)
        ends.sides.follow(plan)

    return Watched(
        plans=PlanStore(clients.state, clients.keys.prefix),
        reader=ends.reader,
        janitor=Janitor(clients.frames, clients.keys),
        frames=VitalSigns(clients.frames, "frames", metrics.broker),
        state=VitalSigns(clients.state, "state", metrics.broker),
        floor=worker.connection.privacy_floor,
        on_plan=on_plan,
    )


def _read_limits(infer: InferSettings) -> ReadLimits:
    return ReadLimits(
        entries=infer.read_entries,
        size_bytes=infer.read_bytes,
        reclaim_idle_s=infer.reclaim_idle_s,
        reclaim_every_s=infer.reclaim_every_s,
        reclaim_count=2 * infer.batch_size,
    )


def _outbox(worker: _Worker, clients: _Clients, patience: Patience) -> Outbox:
    def on_try(code: str) -> None:
        # Waiting for a broker is life, not a stall: whoever waits says so with every try.
        now = time.monotonic()
        worker.progress.beat("loop", now)
        worker.progress.renew("batch", now)
        if code:
            worker.metrics.broker.errors.labels("state", code).inc()

    results, letters = ResultWriter(clients.state, clients.keys), DeadLetters(clients.state, clients.keys)
    return Outbox(results, letters, patience, on_try)


@contextmanager
def _connected(connection: ServiceSettings, infer: InferSettings, stop: StopSignal) -> Iterator[_Clients | None]:
    """Connect to both brokers, waiting for them; None where the end was asked for first."""
    backoff = Backoff()
    with ExitStack() as stack:
        clients: _Clients | None = None
        while clients is None and not stop.is_set():
            try:
                clients = _connect(connection, infer, stack)
            except BrokerUnavailableError as error:
                _log.warning("waiting_for_broker", code=error.code, cause=str(error))
                stop.wait(backoff.next_s())
        yield clients


def _connect(connection: ServiceSettings, infer: InferSettings, stack: ExitStack) -> _Clients:
    frames_secret, state_secret = _plain(connection.frames_password), _plain(connection.state_password)
    frames = connect(connection.frames_url, password=frames_secret)
    stack.callback(frames.close)
    blocking = connect(connection.frames_url, blocking_s=infer.block_s, password=frames_secret)
    stack.callback(blocking.close)
    state = connect(connection.state_url, password=state_secret)
    stack.callback(state.close)
    models = connect(connection.state_url, password=state_secret)
    stack.callback(models.close)
    probe(frames, "frames")
    probe(state, "state")
    partitions = agreed_layout(state, connection.prefix, connection.partitions)
    return _Clients(frames, blocking, state, models, Keys(connection.prefix, partitions))


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
