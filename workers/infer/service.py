"""The infer role as a process: models, brokers and health around the loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from common.broker.client import Client, connect
from common.broker.frames import FrameReader, Janitor, broker_now_ms
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.broker.results import DeadLetters, ResultWriter
from common.errors import BrokerUnavailableError
from common.health import HealthServer
from common.lifecycle import StopSignal
from common.log import Log
from common.metrics import CollectorRegistry, process_registry
from common.models.manifest import ModelVersion
from common.partition import Keys
from common.settings import ServiceSettings
from workers.backends.backend import Backend, load_models, open_backend
from workers.infer.brokerclock import BrokerClock
from workers.infer.decoding import FrameDecoder
from workers.infer.desk import Desk
from workers.infer.examining import Examiner
from workers.infer.holdings import Holdings
from workers.infer.intake import Intake, ReadLimits
from workers.infer.keeper import Keeper
from workers.infer.looking import Looker
from workers.infer.loop import InferLoop, Parts
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Backoff, Outbox, Patience
from workers.infer.outcomes import Reporter, Signature, ref_of
from workers.infer.pipeline import FacePipeline
from workers.infer.progress import Progress
from workers.infer.settings import InferSettings
from workers.infer.solo import Solo
from workers.infer.watch import Watch

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
        ConfigError: A setting or the metrics port cannot be used.
        ModelError: A model version may not serve.
        BackendError: The backend cannot run here, or fails on everything.
        BrokerError: A broker of another layout, or one that refuses for good. An outage is waited for instead.
    """
    registry = process_registry()
    worker = _Worker(connection, infer, InferMetrics(registry), Progress(), _State())
    with ExitStack() as stack:
        _show_health(worker, registry, stack)
        models = load_models(infer.detector_dir, infer.classifier_dir)
        backend = stack.enter_context(_opened(infer, models))
        pipeline = FacePipeline(backend, *models, infer.pipeline(), worker.metrics.time_stage)
        pipeline.warm_up(infer.batch_size)
        _tell_models(worker.metrics, models, backend)
        clients = stack.enter_context(_connected(connection, infer, stop))
        if clients is not None:
            _serve(worker, clients, pipeline, stop)
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
    keys: Keys


@dataclass(frozen=True, slots=True)
class _Worker:
    connection: ServiceSettings
    infer: InferSettings
    metrics: InferMetrics
    progress: Progress
    state: _State


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


def _serve(worker: _Worker, clients: _Clients, pipeline: FacePipeline, stop: StopSignal) -> None:
    infer = worker.infer
    reader = FrameReader(clients.frames, clients.blocking, clients.keys, infer.consumer)
    parts = _parts(worker, clients, (reader, pipeline), Patience(stop, worker.connection.grace_s))
    worker.state.intake, worker.state.watch = parts.intake, parts.watch
    keeper = Keeper(reader.keepalive, parts.holdings, worker.progress, infer.keepalive_s, infer.stall_s)
    _log.info("started", consumer=infer.consumer, backend=pipeline.backend.name)
    with parts.watch, keeper:
        InferLoop(parts).run(stop)


def _parts(worker: _Worker, clients: _Clients, ends: tuple[FrameReader, FacePipeline], patience: Patience) -> Parts:
    infer, metrics, (reader, pipeline) = worker.infer, worker.metrics, ends
    clock = BrokerClock(lambda: broker_now_ms(clients.frames))
    plans, janitor = PlanStore(clients.state, clients.keys.prefix), Janitor(clients.frames, clients.keys)
    refs = ref_of(pipeline.detector), ref_of(pipeline.classifier)
    reporter = Reporter(Signature(infer.consumer, pipeline.backend.name, *refs), clock.now)
    looker = Looker(pipeline)
    return Parts(
        intake=Intake(reader, clock, _read_limits(infer), patience, metrics),
        watch=Watch(plans, reader, janitor, metrics, infer.frames_kept_s),
        clock=clock,
        decoder=FrameDecoder(infer.decode_threads, reduced=infer.reduced_decoding, timer=metrics.time_stage),
        looker=looker,
        examiner=Examiner(looker, Solo(infer), infer.reduced_decoding),
        desk=Desk(_outbox(worker, clients, patience), reporter, metrics, infer.consumer),
        holdings=Holdings(),
        progress=worker.progress,
        patience=patience,
        metrics=metrics,
        limits=infer.limits(worker.connection.max_age_s),
        block_s=infer.block_s,
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
def _opened(infer: InferSettings, models: tuple[ModelVersion, ModelVersion]) -> Iterator[Backend]:
    backend = open_backend(infer.backend, *models, infer.options())
    try:
        yield backend
    finally:
        backend.close()


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
                _log.warning("waiting_for_broker", code=error.code)
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
    partitions = ensure_layout(state, connection.prefix, connection.partitions)
    return _Clients(frames, blocking, state, Keys(connection.prefix, partitions))


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _tell_models(metrics: InferMetrics, models: tuple[ModelVersion, ModelVersion], backend: Backend) -> None:
    for version in models:
        manifest, ref = version.manifest, ref_of(version)
        metrics.model.labels(manifest.kind, ref.name, ref.version, ref.digest).set(1)
        _log.info("model", kind=manifest.kind, identity=manifest.identity, backend=backend.name)
