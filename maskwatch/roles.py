"""One role each, for many machines: settings, log, stop signal, then the service's own loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import ConfigError
from common.lifecycle import StopSignal
from common.log import configure
from common.privacyfloor import check_floor
from common.settings import ModelsSettings, ServiceSettings, load
from common.siteplan import load_plan


def run_producer(site: Path | None, cameras: list[str], shard: str, metrics_port: int | None) -> int:
    """Read cameras until stopped; see ``maskwatch producer --help``."""
    with _loading():
        from producers import service
        from producers.settings import ProducerSettings

    connection = _begin(metrics_port)
    settings = load(ProducerSettings, cameras=cameras or None, shard=shard or None)
    stop = StopSignal().install()
    plan = load_plan(site).resolved(site.parent) if site else None
    if plan is not None:
        check_floor(plan, connection.privacy_floor, str(site))
    return service.run(connection, settings, plan, stop)


def run_infer(backend: str, index: int | None, metrics_port: int | None) -> int:
    """Infer until stopped; see ``maskwatch infer --help``."""
    with _loading():
        from workers.infer import service
        from workers.infer.settings import InferSettings

    connection = _begin(metrics_port)
    return service.run(connection, load(InferSettings, backend=backend or None, index=index), StopSignal().install())


def run_judge(metrics_port: int | None) -> int:
    """Judge until stopped; see ``maskwatch judge --help``."""
    with _loading():
        from workers.judge import service
        from workers.judge.settings import JudgeSettings

    connection = _begin(metrics_port)
    return service.run(connection, load(JudgeSettings), StopSignal().install())


def run_notify(receivers: Path, metrics_port: int | None) -> int:
    """Deliver events until stopped; see ``maskwatch notify --help``."""
    with _loading():
        from workers.notify import service
        from workers.notify.settings import NotifySettings

    connection = _begin(metrics_port)
    return service.run(connection, load(NotifySettings, receivers=receivers), StopSignal().install())


def run_trainer(metrics_port: int | None) -> int:
    """Train until stopped; see ``maskwatch trainer --help``."""
    from trainer.service.settings import TrainerSettings

    connection = _begin(metrics_port)
    trainer, models = load(TrainerSettings), load(ModelsSettings)
    trainer.check()
    try:
        from trainer.service import service
    except ModuleNotFoundError as error:
        raise ConfigError(f"training needs {error.name}; install the extra: pip install 'maskwatch[train]'") from error
    return service.run(connection, models, trainer, StopSignal().install())


@contextmanager
def _loading() -> Iterator[None]:
    """Load modules without looking for garbage: there is none, and what they hold is not looked through later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _begin(metrics_port: int | None) -> ServiceSettings:
    connection = load(ServiceSettings, metrics_port=metrics_port)
    configure(connection.log_level, connection.log_format)
    return connection
