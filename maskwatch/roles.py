"""One role each, for many machines: settings, log, stop signal, then the service's own loop."""

from __future__ import annotations

from pathlib import Path

from common.errors import BrokerUnavailableError
from common.lifecycle import StopSignal
from common.log import Log, OncePer, configure
from common.settings import ServiceSettings, load
from common.siteplan import SitePlan, load_plan


def run_producer(site: Path | None, cameras: list[str], shard: str, metrics_port: int | None) -> int:
    """Read cameras until stopped; see ``maskwatch producer --help``."""
    from producers import service
    from producers.settings import ProducerSettings

    connection = _begin(metrics_port)
    settings = load(ProducerSettings, cameras=cameras or None, shard=shard or None)
    stop = StopSignal().install()
    plan = load_plan(site).resolved(site.parent) if site else _published_plan(connection, stop)
    return 0 if plan is None else service.run(connection, settings, plan, stop)


def run_infer(backend: str, index: int | None, metrics_port: int | None) -> int:
    """Infer until stopped; see ``maskwatch infer --help``."""
    from workers.infer import service
    from workers.infer.settings import InferSettings

    connection = _begin(metrics_port)
    return service.run(connection, load(InferSettings, backend=backend or None, index=index), StopSignal().install())


def run_judge(metrics_port: int | None) -> int:
    """Judge until stopped; see ``maskwatch judge --help``."""
    from workers.judge import service
    from workers.judge.settings import JudgeSettings

    connection = _begin(metrics_port)
    return service.run(connection, load(JudgeSettings), StopSignal().install())


def _begin(metrics_port: int | None) -> ServiceSettings:
    connection = load(ServiceSettings, metrics_port=metrics_port)
    configure(connection.log_level, connection.log_format)
    return connection


def _published_plan(connection: ServiceSettings, stop: StopSignal) -> SitePlan | None:
    """Wait for the broker as the other roles do; None where the process is stopped before it answers."""
    from maskwatch.connection import StateDesk

    log, once = Log("producer"), OncePer(10.0)
    while not stop.is_set():
        try:
            return StateDesk.open(connection).plan()
        except BrokerUnavailableError as error:
            if once.permit(error.code) is not None:
                log.warning("waiting_for_broker", code=error.code)
            stop.wait(1.0)
    return None
