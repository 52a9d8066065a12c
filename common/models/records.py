"""The JSON in which a registry writes down pointers, rollouts, log entries and reports; both registries share it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from common.errors import VersionRefusedError
from common.models.registry import LogEntry, Pointer, Rollout, VersionRef, VersionSummary, WorkerModels

Record = Pointer | Rollout | LogEntry | VersionSummary | WorkerModels
R = TypeVar("R", Pointer, Rollout, LogEntry, VersionSummary, WorkerModels)
_MAX_TEXT = 500


def as_data(record: Record) -> dict[str, Any]:
    """Give a record as JSON types; references are objects of kind, version and digest."""
    return asdict(record)


def pack(record: Record) -> str:
    """Write a record as compact JSON."""
    return json.dumps(as_data(record), separators=(",", ":"), ensure_ascii=False)


def unpack(kind: type[R], text: str | bytes | Mapping[str, Any]) -> R:
    """Read a record back; fields that a later release added are passed over.

    Raises:
        VersionRefusedError: What is stored is no such record.
    """
    try:
        content = text if isinstance(text, Mapping) else json.loads(text)
        known = {one.name for one in fields(kind)}
        return kind(**{name: _value(name, value) for name, value in content.items() if name in known})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise VersionRefusedError("manifest", f"the registry holds no {kind.__name__} where one is due") from error


def ref_data(ref: VersionRef | None) -> dict[str, str] | None:
    """Give a reference as JSON types."""
    return None if ref is None else {"kind": ref.kind, "version": ref.version, "digest": ref.digest}


def ref_of(data: Mapping[str, Any] | None) -> VersionRef | None:
    """Read a reference.

    Raises:
        KeyError: A part is missing.
        VersionRefusedError: A part is no name.
    """
    return None if data is None else VersionRef(data["kind"], data["version"], data["digest"])


def one_line(text: str) -> str:
    """Keep what somebody wrote to one printable line of at most 500 letters."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_MAX_TEXT]


def labels(refs: Iterable[VersionRef]) -> str:
    """Name versions for people; none is the bundled release."""
    return " and ".join(ref.label for ref in refs) or "the bundled release"


def _value(name: str, value: Any) -> Any:
    if name in ("detector", "classifier", "ref"):
        return ref_of(value)
    if name in ("refs", "previous", "candidate"):
        return tuple(VersionRef(one["kind"], one["version"], one["digest"]) for one in value)
    return value
