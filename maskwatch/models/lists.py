"""``maskwatch models list | workers | log``: what is there, who serves it, who did what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from common.models.manifest import bundled, read_manifest
from common.models.records import as_data, labels
from common.models.registry import LogEntry, VersionSummary
from maskwatch.models.desk import KINDS, ModelDesk, both, named


def versions(desk: ModelDesk, *, as_json: bool) -> None:
    """Print the versions, the newest first; a star marks those in service."""
    pointer, rollout = desk.registry.current(), desk.registry.rollout()
    trial = rollout.candidate if rollout else ()
    rows = desk.registry.versions()
    if as_json:
        listed = [_as_data(one, one.ref in pointer.refs, one.ref in trial) for one in rows]
        content = {"generation": pointer.generation, "in_service": both(pointer).split(", "), "versions": listed}
        print(json.dumps(content, ensure_ascii=False))
        return
    print(f"generation {pointer.generation}: {both(pointer)}")
    if rollout is not None:
        print(f"on trial ({rollout.stage}): {labels(trial)}, by {rollout.by or '?'}")
    lines = [["version", "published", "size", "model", "signed by", "digest"]]
    for one in rows:
        mark = "*" if one.ref in pointer.refs else "?" if one.ref in trial else " "
        size = f"{one.size_bytes / 1e6:.1f} MB"
        lines.append([one.ref.label + mark, clock(one.at_s), size, one.name, one.signed_by or "–", one.ref.digest[:12]])
    for kind in KINDS:
        mark = "*" if named(getattr(pointer, kind), kind).endswith("/bundled") else " "
        manifest = read_manifest(bundled(kind) / "manifest.json")
        size = f"{sum(blob.size for blob in manifest.blobs.values()) / 1e6:.1f} MB"
        lines.append([f"{kind}/bundled{mark}", "–", size, f"{manifest.name} {manifest.version}", "–", "–"])
    print("\n".join(columns(lines)))


def workers(desk: ModelDesk, *, as_json: bool) -> None:
    """Print what every live worker serves; an exclamation mark stands where it is not what is in service."""
    generation = desk.registry.current().generation
    found = desk.registry.workers()
    if as_json:
        listed = {name: as_data(one) | {"current": one.generation == generation} for name, one in found.items()}
        print(json.dumps({"generation": generation, "workers": listed}, ensure_ascii=False))
        return
    if not found:
        print("no worker has reported within the last 30 s")
        return
    lines = [["worker", "generation", "detector", "classifier", "backend", "state"]]
    for name, one in found.items():
        mark = "" if one.generation == generation else "!"
        serving = [named(one.detector, "detector"), named(one.classifier, "classifier")]
        lines.append([name, f"{one.generation}{mark}", *serving, one.backend, one.state])
    print(f"generation {generation} is in force")
    print("\n".join(columns(lines)))


def log(desk: ModelDesk, count: int, *, as_json: bool) -> None:
    """Print the last entries of the log, the newest first."""
    entries = desk.registry.log(count)
    if as_json:
        print(json.dumps([as_data(entry) | {"at": clock(entry.at_s)} for entry in entries], ensure_ascii=False))
        return
    if not entries:
        print("nothing was ever done to this registry")
        return
    lines = [["no", "when", "generation", "what", "versions", "by", "why"]]
    lines += [_entry_cells(entry) for entry in entries]
    print("\n".join(columns(lines)))


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lay cells out in columns; the first line is the heading."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(f"{cell:{widths[at]}}" for at, cell in enumerate(line)).rstrip() for line in lines]


def clock(at_s: float) -> str:
    """Write a time, s since the epoch, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry_cells(entry: LogEntry) -> list[str]:
    what = entry.action.replace("_", " ")
    return [
        str(entry.number),
        clock(entry.at_s),
        str(entry.generation),
        what,
        labels(entry.refs),
        entry.by or "–",
        entry.why,
    ]


def _as_data(one: VersionSummary, in_service: bool, on_trial: bool) -> dict[str, Any]:
    return as_data(one) | {"at": clock(one.at_s), "in_service": in_service, "on_trial": on_trial}
