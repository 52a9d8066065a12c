"""``maskwatch models show | diff``: what a version is, what it can, and how two differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from common.models.manifest import Manifest

_SETTINGS = (
    "name",
    "version",
    "architecture",
    "options",
    "parameters",
    "input",
    "normalisation",
    "temperature",
    "thresholds",
    "training_data",
    "weaknesses",
    "created",
    "command",
)
_SAME = 1e-9
_WIDEST = 60


def show(manifest: Manifest, digest: str, *, as_json: bool) -> None:
    """Print a version's facts and figures."""
    if as_json:
        print(json.dumps(manifest.model_dump(mode="json") | {"digest": digest}, ensure_ascii=False))
        return
    print(f"{manifest.kind}/{manifest.version}  {manifest.name}  ({manifest.identity})")
    size = sum(blob.size for blob in manifest.blobs.values())
    facts = {
        "digest": digest or "bundled with this package",
        "architecture": f"{manifest.architecture}, {manifest.parameters:,} parameters, {size:,} bytes",
        "classes": ", ".join(manifest.classes),
        "input": json.dumps(manifest.input.model_dump(mode="json")),
        "thresholds": ", ".join(f"{name} {value:g}" for name, value in manifest.thresholds.items()),
        "created": manifest.created,
        "command": manifest.command,
    }
    for name, value in facts.items():
        print(f"  {name:12} {value}")
    for title, lines in (("trained on", manifest.training_data), ("weaknesses", manifest.weaknesses)):
        if lines:
            print(f"{title}:")
            print("\n".join(f"  * {line}" for line in lines))
    for title, rows in tables(manifest.metrics):
        print(f"\n{title}:")
        print("\n".join(_table(rows)))


def diff(old: Manifest, new: Manifest, *, as_json: bool, every: bool) -> None:
    """Print what differs: settings, then figures side by side; ``every`` shows equal figures, too."""
    before, after = _settings(old), _settings(new)
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    figures = compare(old.metrics, new.metrics, every=every)
    names = (f"{old.kind}/{old.version}", f"{new.kind}/{new.version}")
    if as_json:
        content = {
            "from": names[0],
            "to": names[1],
            "settings": {key: {"from": one, "to": two} for key, (one, two) in changed.items()},
            "metrics": {key: {"from": one, "to": two} for key, (one, two) in figures.items()},
        }
        print(json.dumps(content, ensure_ascii=False))
        return
    print(f"{names[0]} ({old.name}) → {names[1]} ({new.name})")
    for key, (one, two) in changed.items():
        print(f"  {key}: {_short(one)} → {_short(two)}")
    if not figures:
        print("  no figures differ" if not changed else "  the figures are the same")
        return
    width = max(len(key) for key in figures)
    print(f"\n{'figure':{width}}  {'from':>10}  {'to':>10}  {'change':>10}")
    for key, (first, second) in figures.items():
        delta = "" if first is None or second is None else f"{second - first:+.4g}"
        print(f"{key:{width}}  {_number(first):>10}  {_number(second):>10}  {delta:>10}".rstrip())


def compare(
    old: Mapping[str, Any], new: Mapping[str, Any], *, every: bool = False
) -> dict[str, tuple[float | None, float | None]]:
    """Pair the figures of two versions by their path; None where one has none."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    found = {}
    for key in [*before, *(key for key in after if key not in before)]:
        pair = before.get(key), after.get(key)
        if every or pair[0] is None or pair[1] is None or abs(pair[0] - pair[1]) > _SAME:
            found[key] = pair
    return found


def tables(metrics: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Find the tables in a tree of figures: rows by name (such as sources), columns by figure."""
    single = {name: {"value": value} for name, value in metrics.items() if _is_number(value)}
    if single:
        yield path or "figures", single
    rows = {name: value for name, value in metrics.items() if isinstance(value, Mapping)}
    if rows and all(_is_row(value) for value in rows.values()):
        yield path or "figures", {name: dict(value) for name, value in rows.items()}
        return
    for name, value in rows.items():
        yield from tables(value, f"{path}.{name}" if path else name)


def _settings(manifest: Manifest) -> dict[str, Any]:
    content = manifest.model_dump(mode="json")
    return {name: content[name] for name in _SETTINGS}


def _is_row(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(_is_number(one) or one is None for one in value.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, float]]:
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in pairs:
        here = f"{path}.{name}" if path else str(name)
        if _is_number(value):
            yield here, float(value)
        else:
            yield from _leaves(value, here)


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [["", *columns], *([name, *(_number(row.get(one)) for one in columns)] for name, row in rows.items())]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns) + 1)]
    return [
        "  " + "  ".join(f"{text:{'<' if at == 0 else '>'}{widths[at]}}" for at, text in enumerate(line)).rstrip()
        for line in cells
    ]


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4g}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
