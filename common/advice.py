"""Turn a validation error into words an operator can act on: the key's path, what is wrong, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe every complaint of a validation in a line of its own.

    Args:
        error: What pydantic said of the input.
        model: The model that the whole input was read into.

    Returns:
        Lines such as ``cameras[0].fsp: unknown key; did you mean 'fps'?``. Values are never repeated, since a value
        may be a password.
    """
    return "\n".join(_line(dict(item), model) for item in error.errors(include_url=False, include_input=False))


def nearest(name: str, valid: Iterable[str]) -> str:
    """Suggest the valid name closest to a wrong one: ``; did you mean 'fps'?``, or the list of all, or nothing."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid names: {', '.join(names)}" if names else ""


def _line(item: dict[str, Any], model: type[BaseModel]) -> str:
    location: tuple[int | str, ...] = item["loc"]
    if item["type"] == "extra_forbidden":
        owner = _model_at(model, location[:-1])
        return f"{_path(location)}: unknown key{nearest(str(location[-1]), owner.model_fields if owner else ())}"
    if item["type"] == "missing":
        return f"{_path(location)}: missing"
    return f"{_path(location)}: {item['msg'].removeprefix('Value error, ')}"


def _path(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "(top level)"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        current = next(_models_in(field.annotation), None) if field else None
    return current


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
