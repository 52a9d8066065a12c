"""Every setting that an environment variable can change, for documentation and for checking deployments."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_settings import BaseSettings


def settings_models() -> Iterator[type[BaseSettings]]:
    """Give the settings of every role."""
    from common.settings import ServiceSettings
    from producers.settings import ProducerSettings
    from workers.infer.settings import InferSettings
    from workers.judge.settings import JudgeSettings
    from workers.notify.settings import NotifySettings

    yield from (ServiceSettings, ProducerSettings, InferSettings, JudgeSettings, NotifySettings)


def variables() -> set[str]:
    """Name all variables."""
    return {
        f"{model.model_config.get('env_prefix', '')}{name}".upper()
        for model in settings_models()
        for name in model.model_fields
    }
