"""Every setting that an environment variable can change: ``python -m maskwatch.settings_list`` prints the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode

INTRODUCTION = """\
# Settings

Made from the code by `make settings`; a test says when this page is behind. A variable that does not exist is refused
at the start, and the nearest is named. Command line options win over variables. Names that end in `_s` are seconds.
"""


def settings_models() -> Iterator[type[BaseSettings]]:
    """Give the settings of every role."""
    from common.settings import ModelsSettings, OtelSettings, ServiceSettings
    from producers.settings import ProducerSettings
    from trainer.service.settings import TrainerSettings
    from workers.infer.settings import InferSettings
    from workers.judge.settings import JudgeSettings
    from workers.notify.settings import NotifySettings

    yield from (ServiceSettings, ProducerSettings, InferSettings, JudgeSettings, NotifySettings)
    yield from (TrainerSettings, ModelsSettings, OtelSettings)


def variables() -> set[str]:
    """Name all variables."""
    return {_variable(model, name) for model in settings_models() for name in model.model_fields}


def page() -> str:
    """Write the page: a table for each model, a row for each variable."""
    parts = [INTRODUCTION]
    for model in settings_models():
        about = (model.__doc__ or "").strip().splitlines()[0]
        rows = [_row(model, name, field) for name, field in model.model_fields.items()]
        title = _title(model)
        head = ["| variable | default | values | meaning |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {title}", "", about, "", *head, *rows, ""]))
    return "\n".join(parts)


def _title(model: type[BaseSettings]) -> str:
    prefix = str(model.model_config.get("env_prefix", ""))
    return "Every role" if prefix == "MASKWATCH_" else f"`{prefix}…`"


def _row(model: type[BaseSettings], name: str, field: FieldInfo) -> str:
    said = (field.description or "").replace("|", "\\|")
    return f"| `{_variable(model, name)}` | {_default(field)} | {_values(field)} | {said} |"


def _variable(model: type[BaseSettings], name: str) -> str:
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "–" if field.default_factory in (list, dict, tuple) else "of this machine"
    value: Any = field.default
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value in ("", (), []):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: FieldInfo) -> str:
    """Say what is taken: words, a range, or a form."""
    kind = field.annotation
    if get_origin(kind) in (list, tuple):
        plain = any(one is NoDecode or isinstance(one, NoDecode) for one in field.metadata)
        return "list, by commas" if plain else "JSON list"
    choices = [one for one in _parts(kind) if isinstance(one, str)]
    if choices:
        return " ".join(f"`{one}`" for one in choices)
    limits = {
        word: getattr(one, word) for one in field.metadata for word in ("ge", "gt", "le", "lt") if hasattr(one, word)
    }
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    if limits:
        return ", ".join(f"{signs[word]} {limit:g}" for word, limit in limits.items())
    pattern = next((str(one.pattern) for one in field.metadata if getattr(one, "pattern", None)), "")
    if re.fullmatch(r"\^\([a-z|]+\)\$", pattern):
        return " ".join(f"`{one}`" for one in pattern[2:-2].split("|"))
    names = {bool: "true, false", SecretStr: "secret", int: "number", float: "number"}
    return next((names[one] for one in _parts(kind) if one in names), "text")


def _parts(kind: Any) -> list[Any]:
    """Take a type apart: the words of a literal, the members of a union."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    inner = get_args(kind)
    return [part for one in inner for part in _parts(one)] if inner else [kind]


if __name__ == "__main__":
    print(page(), end="")
