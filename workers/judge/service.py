"""The judge as a process: connections, health, the loop, and beside it the site stage."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from common.broker.client import Client, connect
from common.broker.fitness import probe
from common.broker.layout import agreed_layout
from common.broker.ownership import PartitionStore
from common.broker.plans import PlanStore
from common.broker.results import DeadLetters
from common.broker.vitals import VitalSigns
from common.errors import BrokerRefusedError, BrokerUnavailableError
from common.health import HealthServer
from common.lifecycle import StopSignal
from common.log import Log
from common.metrics import process_registry
from common.partition import Keys
from common.settings import ServiceSettings, host_name
from common.siteplan import PrivacyMode
from common.tracing import Tracing, opened_tracing
from workers.feedback.service import running as feedback_running
from workers.judge.holding import Holding
from workers.judge.loop import JudgeLoop, Surroundings
from workers.judge.metrics import JudgeMetrics
from workers.judge.plans import Plans
from workers.judge.seats import Seat, seat_keys
from workers.judge.settings import JudgeSettings
from workers.site.service import SiteSettings, SiteStage
from workers.site.service import running as site_running

_log = Log("judge")
_HUNG_S = 60.0
_RETRY_S = 1.0
T = TypeVar("T")


def run(connection: ServiceSettings, judge: JudgeSettings, stop: StopSignal) -> int:
    """Judge results until ``stop``, then commit what is there and give the partitions back; in a thread, the site too.

    Any number of judges may run; they share the partitions, and one that dies is replaced within ``judge.lease_s``
    plus 1 s. A broker that does not answer is waited for.

    Args:
        connection: Brokers (only the state endpoint is used), key names, metrics port.
        judge: How patient it is.
        stop: Asks for the end.

    Returns:
        0, the exit status of an orderly end.

    Raises:
        ConfigError: A setting or the metrics port cannot be used; nothing was started.
        LayoutMismatchError: The installation has another partition count; nothing was judged.
        BrokerUnfitError: The state broker is too old or evicts keys; nothing was judged.
    """
    with ExitStack() as stack:
        loops: list[JudgeLoop] = []
        stages: list[SiteStage] = []
        registry = process_registry()
        metrics = JudgeMetrics(registry)
        tracing = stack.enter_context(opened_tracing("judge", connection, registry, stop))
        if connection.metrics_port is not None:
            address = (connection.metrics_host, connection.metrics_port)
            server = HealthServer(registry, address, alive=lambda: _alive(loops, stages), ready=lambda: _ready(loops))
            _log.info("metrics_served", host=connection.metrics_host, port=stack.enter_context(server).port)
        password = connection.state_password.get_secret_value() if connection.state_password else None
        client = _patiently(lambda: connect(connection.state_url, password=password), stop)
        blocking = _patiently(lambda: connect(connection.state_url, blocking_s=judge.block_s, password=password), stop)
        if client is None or blocking is None:
            return 0
        stack.callback(client.close)
        stack.callback(blocking.close)
        partitions = _patiently(lambda: _greet(client, connection), stop)
        if partitions is not None:
            keys = Keys(connection.prefix, partitions)
            me = f"{judge.name or host_name()}-{os.getpid()}-{secrets.token_hex(4)}"
            loops.append(_build((client, blocking), keys, judge, (me, metrics, connection.privacy_floor), tracing))
            settings = _site_settings(me, judge, connection)
            stages.append(stack.enter_context(site_running(client, keys, settings, registry)))
            loop = stages[0].loop
            stack.enter_context(feedback_running(client, keys, registry, lambda: loop.holding, loops[0].planned))
            loops[0].run(stop, connection.grace_s)
    return 0


def _greet(client: Client, connection: ServiceSettings) -> int:
    for warning in probe(client, "state").warnings:
        _log.warning("state_broker", advice=warning)
    return agreed_layout(client, connection.prefix, connection.partitions)


def _site_settings(me: str, judge: JudgeSettings, connection: ServiceSettings) -> SiteSettings:
    grace_s, floor = 0.2 * connection.grace_s, connection.privacy_floor
    return SiteSettings(me, judge.lease_s, judge.renew_s, judge.batch, judge.events_kept, grace_s, floor)


def _build(
    clients: tuple[Client, Client],
    keys: Keys,
    judge: JudgeSettings,
    named: tuple[str, JudgeMetrics, PrivacyMode],
    tracing: Tracing,
) -> JudgeLoop:
    (me, metrics, floor), (client, blocking) = named, clients
    store = PartitionStore(client, blocking, keys, me, judge.lease_s)
    seat = Seat(PartitionStore(client, blocking, seat_keys(keys), me, judge.lease_s), me)
    host, unusable = judge.name or host_name(), metrics.plans_unusable.inc
    plans = Plans(PlanStore(client, keys.prefix), judge.limits(), host, unusable, floor)
    metrics.partitions_in_all.set(keys.partitions)
    vitals = VitalSigns(client, "state", metrics.broker)
    around = Surroundings(store, DeadLetters(client, keys), plans, metrics, vitals, tracing)
    return JudgeLoop(around, Holding(store, seat, me, keys.partitions, judge.renew_s), judge)


def _patiently(step: Callable[[], T], stop: StopSignal) -> T | None:
    """Repeat a step until the broker answers; None where the end was asked for first."""
    while not stop.is_set():
        try:
            return step()
        except BrokerUnavailableError as error:
            _log.warning("waiting_for_broker", code=error.code, cause=str(error))
        except BrokerRefusedError as error:
            _log.warning("refused_by_broker", code=error.code, error=str(error))
        stop.wait(_RETRY_S)
    return None


def _alive(loops: list[JudgeLoop], stages: list[SiteStage]) -> str:
    if loops and time.monotonic() - loops[0].beat_s > _HUNG_S:
        return "the loop has not turned for a minute"
    return stages[0].stuck(_HUNG_S) if stages else ""


def _ready(loops: list[JudgeLoop]) -> str:
    return loops[0].trouble if loops else "the state broker has not answered yet"
