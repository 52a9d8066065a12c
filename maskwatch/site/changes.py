"""What differs between two site plans, part by part, in words and as data; passwords are never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from common.siteplan import SitePlan

Kind = Literal["added", "removed", "changed"]

_SIGNS: dict[Kind, str] = {"added": "+", "removed": "-", "changed": "~"}
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s]*@")
_TOKEN = re.compile(r"([?&][^=&\s]*(?:pass|pwd|token|key|secret)[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_SINGULAR = {"policies": "policy"}
_ORDERED = ("policies", "zones")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Field:
    """One value that differs.

    Attributes:
        path: Where, such as ``place.level``.
        old: Before; None where it was not there.
        new: Now; None where it is not there any more.
    """

    path: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One part of a plan that differs.

    Attributes:
        kind: What happened to it.
        part: ``camera``, ``policy``, ``zone`` …, or ``site`` for what belongs to the whole.
        name: Its id; empty for the whole.
        fields: What differs; for a new part its values, defaults left out; for a removed part nothing.
    """

    kind: Kind
    part: str
    name: str
    fields: tuple[Field, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Give it as one JSON object."""
        fields = [{"path": one.path, "old": _masked(one.old), "new": _masked(one.new)} for one in self.fields]
        return {"kind": self.kind, "part": self.part, "id": self.name, "fields": fields}


def compare(old: SitePlan | None, new: SitePlan) -> list[Change]:
    """List what publishing ``new`` over ``old`` changes; an ``old`` of None has nothing."""
    before, after = _parts(old), _parts(new)
    lean = _parts(new, lean=True)
    found = [Change("removed", part, name) for part, name in before if (part, name) not in after]
    for key, content in after.items():
        if key not in before:
            values = tuple(Field(path, None, value) for path, value in _flat(lean.get(key, {})))
            if key in lean or old is not None:  # a first plan's default policy is nobody's change
                found.append(Change("added", *key, values))
            continue
        fields = tuple(_differing(before[key], content))
        if fields:
            found.append(Change("changed", *key, fields))
    return found


def lines(changes: list[Change]) -> list[str]:
    """Write changes for people: a line for each part, and one for each of its values."""
    written = []
    for change in changes:
        written.append(f"{_SIGNS[change.kind]} {change.part} {change.name}".rstrip())
        for field in change.fields:
            old, new = _words(field.old), _words(field.new)
            if change.kind == "added":
                written.append(f"    {field.path}: {new}")
            elif old == new:
                written.append(f"    {field.path}: {new} (the secret in it or its end changed)")
            else:
                written.append(f"    {field.path}: {old} → {new}")
    return written


def summary(changes: list[Change]) -> str:
    """Say in a few words how much differs, such as ``1 camera added, 2 policies changed``."""
    counts: dict[tuple[str, Kind], int] = {}
    for change in changes:
        counts[change.part, change.kind] = counts.get((change.part, change.kind), 0) + 1
    said = [
        f"site {kind}" if part == "site" else f"{count} {_plural(part) if count > 1 else part} {kind}"
        for (part, kind), count in counts.items()
    ]
    return ", ".join(said) or "nothing changes"


def _parts(plan: SitePlan | None, *, lean: bool = False) -> dict[tuple[str, str], dict[str, Any]]:
    """Give each part of a plan under its kind and id; what belongs to no part is the ``site``."""
    if plan is None:
        return {}
    content = plan.model_dump(mode="json", exclude_defaults=lean)
    whole: dict[str, Any] = {}
    parts: dict[tuple[str, str], dict[str, Any]] = {("site", ""): whole}
    for key, value in content.items():
        if isinstance(value, list) and all(isinstance(item, dict) and "id" in item for item in value):
            single = _SINGULAR.get(key, key.removesuffix("s"))
            parts |= {(single, item["id"]): {k: v for k, v in item.items() if k != "id"} for item in value}
            if key in _ORDERED:
                whole[f"order of {key}"] = [item["id"] for item in value]
        else:
            whole[key] = value
    return parts


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Field]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for path in dict.fromkeys([*before, *after]):
        one, other = before.get(path), after.get(path)
        if path.startswith("order of ") and sorted(one or []) != sorted(other or []):
            continue  # parts came or went, which is said of them
        if one != other:
            yield Field(path, one, other)


def _flat(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from _flat(value, here)
        elif not isinstance(value, Mapping):
            yield here, value


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _TOKEN.sub(r"\1***", _PASSWORD.sub(r"\1:***@", value))
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    return value


def _words(value: Any) -> str:
    if value is None:
        return "(none)"
    shown = _masked(value)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    text = text or '""'
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _plural(part: str) -> str:
    return next((many for many, one in _SINGULAR.items() if one == part), f"{part}s")
