"""The trainer as a process: connections, health, the lease, and the foreman while it is held."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import torch

from common.broker.client import Client, connect
from common.broker.layout import agreed_layout
from common.broker.models.registries import open_registry
from common.broker.models.shadowreports import ShadowReports
from common.broker.models.store import BrokerRegistry
from common.broker.siteinbox import SiteInbox
from common.errors import (
    BrokerError,
    BrokerRefusedError,
    BrokerUnavailableError,
    FencedError,
    ModelError,
    TrainingError,
)
from common.health import HealthServer
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.metrics import process_registry
from common.partition import Keys
from common.settings import ModelsSettings, ServiceSettings, host_name
from trainer.samples.store import SampleStore
from trainer.service.collecting import SampleCollecting
from trainer.service.foreman import Foreman, Office
from trainer.service.lease import LeaseKeeper, TrainerLease
from trainer.service.live import LiveFigures
from trainer.service.metrics import TrainerMetrics
from trainer.service.priority import give_way
from trainer.service.progress import ProgressStore
from trainer.service.requests import RequestBox
from trainer.service.rollout import Channels, GuardedRollout
from trainer.service.settings import TrainerSettings

_log = Log("trainer")
_RETRY_S = 1.0
T = TypeVar("T")
Opening = Callable[[Callable[[], bool]], Office]
"""Opens the office, told what says whether the end was asked for."""


class _Condition:
    """What health checks ask for."""

    def __init__(self) -> None:
        self.trouble = "the state broker has not answered yet"


def run(connection: ServiceSettings, models: ModelsSettings, trainer: TrainerSettings, stop: StopSignal) -> int:
    """Watch, train, judge, publish and promote until ``stop``; a run under way is kept and gone on with next time.

    Any number may be started; one works, the others stand by. A broker that does not answer is waited for.

    Args:
        connection: Brokers, key names, metrics port.
        models: Where versions are kept.
        trainer: What it watches, and its limits.
        stop: Asks for the end.

    Returns:
        0, the exit status of an orderly end.

    Raises:
        ConfigError: A setting or the metrics port cannot be used; nothing was started.
        TrainingError: The sample folder cannot be used.
    """
    trainer.check()
    give_way(trainer.nice, idle=trainer.idle)
    torch.set_num_threads(trainer.threads)
    registry, condition = process_registry(), _Condition()
    metrics = TrainerMetrics(registry)
    with ExitStack() as stack:
        if connection.metrics_port is not None:
            address = (connection.metrics_host, connection.metrics_port)
            server = HealthServer(registry, address, ready=lambda: condition.trouble)
            _log.info("metrics_served", host=connection.metrics_host, port=stack.enter_context(server).port)
        clients = [_opened(connection, endpoint, stack) for endpoint in ("state", "state", "frames")]
        partitions = _patiently(lambda: agreed_layout(clients[0], connection.prefix, connection.partitions), stop)
        if partitions is None:
            return 0
        keys = Keys(connection.prefix, partitions)
        store = SampleStore(trainer.samples)
        stack.enter_context(SampleCollecting((clients[1], clients[2]), keys, store, metrics, trainer.poll_s))
        lease = TrainerLease(clients[0], keys, _me(), trainer.lease_s)
        office = _office(clients[0], keys, (models, trainer), metrics, lease)
        _serve(office, lease, stop, condition)
        _log.info("stopped", reason=stop.reason)
    return 0


def _serve(office: Opening, lease: TrainerLease, stop: StopSignal, condition: _Condition) -> None:
    """Stand by, work while the lease is held, stand by again when it is lost."""
    lines = OncePer(60.0)
    while not stop.is_set():
        try:
            condition.trouble = ""
            if not lease.acquire():
                if lines.permit("standby") is not None:
                    _log.info("standing_by", advice="another trainer of this installation works")
                stop.wait(_RETRY_S)
                continue
            _hold(office, lease, stop, condition)
        except BrokerError as error:
            condition.trouble = f"the state broker does not do as asked ({error.code})"
            stop.wait(_RETRY_S)
    try:
        lease.release()
    except BrokerError as error:
        _log.warning("lease_runs_out", code=error.code)


def _hold(office: Opening, lease: TrainerLease, stop: StopSignal, condition: _Condition) -> None:
    lost = StopSignal()
    desk = office(lambda: stop.is_set() or lost.is_set())
    foreman = Foreman(desk)
    with LeaseKeeper(lease, desk.settings.lease_s / 3, lambda: lost.set("lease lost")):
        while not stop.is_set() and not lost.is_set():
            try:
                foreman.turn(time.time())
                condition.trouble = ""
            except FencedError as error:
                _log.error("fenced", error=str(error))
                break
            except BrokerError as error:
                condition.trouble = f"the state broker does not do as asked ({error.code})"
                desk.metrics.broker.errors.labels("state", error.code).inc()
            except (TrainingError, ModelError) as error:
                condition.trouble = str(error)
                desk.metrics.failures.labels(type(error).__name__).inc()
                _log.error("turn_failed", error=str(error)[:300])
            stop.wait(desk.settings.poll_s)
    desk.metrics.show("standby")


def _office(
    client: Client, keys: Keys, told: tuple[ModelsSettings, TrainerSettings], metrics: TrainerMetrics,
    lease: TrainerLease,
) -> Opening:  # fmt: skip
    models, settings = told
    registry = open_registry(models, client, keys.prefix)
    if isinstance(registry, BrokerRegistry):
        registry.fence = lease.fence
    live = LiveFigures(client, keys)
    channels = Channels(registry, ShadowReports(client, keys.prefix), live, SiteInbox(client, keys), lease.check)
    rollout = GuardedRollout(channels, ProgressStore(client, keys), settings.rollout)
    box = RequestBox(client, keys)
    return lambda should_stop: Office(settings, registry, box, rollout, metrics, lease.check, should_stop)


def _opened(connection: ServiceSettings, endpoint: str, stack: ExitStack) -> Client:
    secret = connection.state_password if endpoint == "state" else connection.frames_password
    url = connection.state_url if endpoint == "state" else connection.frames_url
    client = connect(url, password=secret.get_secret_value() if secret else None)
    stack.callback(client.close)
    return client


def _me() -> str:
    return f"{host_name()}-{os.getpid()}-{secrets.token_hex(4)}"


def _patiently(step: Callable[[], T], stop: StopSignal) -> T | None:
    """Repeat a step until the broker answers; None where the end was asked for first."""
    while not stop.is_set():
        try:
            return step()
        except (BrokerUnavailableError, BrokerRefusedError) as error:
            _log.warning("waiting_for_broker", code=error.code, cause=str(error))
        stop.wait(_RETRY_S)
    return None
