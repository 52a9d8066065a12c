"""The page of a run: the verdict first, its reasons, then every figure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.files import replace_file
from trainer.service.gate_plots import PICTURES

NAME = "index.html"
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1c2530}
figure{display:inline-block;margin:0 1em 1.5em 0;vertical-align:top}img{max-width:100%;border:1px solid #d5dbe1}
figcaption{font-weight:600;margin-bottom:.3em}table{border-collapse:collapse;font-size:14px;margin-bottom:1.5em}
td,th{border:1px solid #d5dbe1;padding:.2em .7em;text-align:right}td:first-child,th:first-child{text-align:left}
.good{color:#11703a}.bad{color:#b3261e}.words td{text-align:left}"""


def write_page(run: Path, report: Mapping[str, Any]) -> None:
    """Write ``index.html`` of a run folder from its report."""
    parts = [_verdict(report), _rulings(report.get("rulings", [])), _pictures(run)]
    parts += [_slices(report.get("slices", [])), _samples(report.get("samples", {})), _facts(report)]
    title = html.escape(f"Run {report.get('run', run.name)}")
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1>{''.join(parts)}</html>\n"
    )
    replace_file(run / NAME, page.encode())


def _verdict(report: Mapping[str, Any]) -> str:
    outcome = str(report["outcome"])
    tone = "good" if outcome == "passed" else "bad"
    lists = "".join(f"<li>{_text(reason)}</li>" for reason in report.get("reasons", []))
    remarks = "".join(f"<li>{_text(remark)}</li>" for remark in report.get("remarks", []))
    looked = f"<p>To be looked at by a person:</p><ul>{remarks}</ul>" if remarks else ""
    return f"<h2 class='{tone}'>{_text(outcome)}</h2><ul>{lists}</ul>{looked}"


def _rulings(rulings: Sequence[Mapping[str, Any]]) -> str:
    if not rulings:
        return ""
    words = {True: "<span class='good'>passed</span>", False: "<span class='bad'>broken</span>", None: "not judged"}
    rows = "".join(
        f"<tr><td>{_text(one['subject'])}</td><td>{words[one['passed']]}</td><td>{_text(one['words'])}</td></tr>"
        for one in rulings
    )
    return f"<h2>Rules</h2><table class='words'><tr><th>what</th><th></th><th>why</th></tr>{rows}</table>"


def _pictures(run: Path) -> str:
    there = [(name, title) for name, title in PICTURES.items() if (run / name).is_file()]
    return "".join(
        f"<figure><figcaption>{title}</figcaption><img src='{name}' alt='{title}'></figure>" for name, title in there
    )


def _slices(parts: Sequence[Mapping[str, Any]]) -> str:
    if not parts:
        return ""
    figures = list(parts[0]["rows"])
    head = "".join(f"<th>{_text(name.replace('_', ' '))}</th>" for name in ["slice", "faces", "groups", *figures])
    rows = "".join(
        f"<tr><td>{_text(part['kind'])} {_text(part['name'])}</td><td>{part['faces']}</td><td>{part['groups']}</td>"
        + "".join(f"<td>{_change(part['rows'][figure])}</td>" for figure in figures)
        + "</tr>"
        for part in parts
    )
    return f"<h2>Current → candidate (95 % interval of the difference)</h2><table><tr>{head}</tr>{rows}</table>"


def _change(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "–"
    interval = "" if row["low"] is None else f" ({100 * row['low']:+.1f} … {100 * row['high']:+.1f})"
    return f"{100 * row['old']:.1f} → {100 * row['new']:.1f}{interval}"


def _samples(samples: Mapping[str, Any]) -> str:
    if not samples:
        return ""
    rows = "".join(f"<tr><td>{_text(key)}</td><td>{_text(value)}</td></tr>" for key, value in _flat(samples))
    return f"<h2>Operators' crops</h2><table>{rows}</table>"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}".replace("_", " "), value


def _facts(report: Mapping[str, Any]) -> str:
    keys = ("cause", "why", "current", "candidate", "generation", "latency", "seconds", "published")
    rows = "".join(f"<tr><td>{key}</td><td>{_text(report[key])}</td></tr>" for key in keys if key in report)
    return f"<h2>Facts</h2><table>{rows}</table>"


def _text(value: object) -> str:
    return html.escape(str(value))
