"""The page of a run: one HTML file in the run folder that shows every picture and figure in it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.files import replace_file

NAME = "index.html"
PICTURES = {
    "curves.png": "Loss and scores over the epochs",
    "confusion.png": "Confusion: what was true, what was said",
    "precision_recall.png": "Precision over recall",
    "reliability.png": "Reliability: sure, and right as often as sure?",
    "by_size.png": "Recall by size of the face",
    "mistakes.png": "The worst mistakes",
}
LISTS = {
    "skipped": "Skipped or clipped",
    "corrected": "Labels corrected by eye, training faces",
    "doubted": "Training faces left out of the last epoch, their labels next to impossible",
}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1c2530}
figure{display:inline-block;margin:0 1em 1.5em 0;vertical-align:top}img{max-width:100%;border:1px solid #d5dbe1}
figcaption{font-weight:600;margin-bottom:.3em}table{border-collapse:collapse;font-size:14px}
td,th{border:1px solid #d5dbe1;padding:.2em .7em;text-align:right}td:first-child,th:first-child{text-align:left}
pre{background:#f3f5f7;padding:.8em;overflow:auto;font-size:13px}"""


def write_page(run: Path, report: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> None:
    """Write ``index.html`` of a run folder; only pictures that are there are shown."""
    parts = [f"<h1>Run {_text(run.resolve().name)}</h1>", _figures(report), _pictures(run)]
    text = run / "classification_report.txt"
    if text.is_file():
        parts.append(f"<h2>Classification report</h2><pre>{_text(text.read_text('utf-8'))}</pre>")
    parts.append(_sources(report.get("by_source_detected", {})))
    parts.append(_epochs(history))
    parts += [_listed(title, report.get(key)) for key, title in LISTS.items()]
    settings = run / "settings.json"
    if settings.is_file():
        shown = _text(settings.read_text("utf-8"))
        parts.append(f"<details><summary>Settings</summary><pre>{shown}</pre></details>")
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(run.resolve().name)}</title>"
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )
    replace_file(run / NAME, page.encode())


def _listed(title: str, lines: Sequence[object] | None) -> str:
    if lines is None:
        return ""
    text = "\n".join(map(str, lines)) or "nothing"
    return f"<details><summary>{title}: {len(lines)}</summary><pre>{_text(text)}</pre></details>"


def _figures(report: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in report.items() if isinstance(value, str | int | float) and value != ""}
    found = report.get("average_precision")
    if isinstance(found, Mapping):
        plain |= {f"average precision, {name}": row.get("all") for name, row in found.items()}
    rows = "".join(f"<tr><td>{_text(key.replace('_', ' '))}</td><td>{_cell(plain[key])}</td></tr>" for key in plain)
    return f"<table>{rows}</table><br>"


def _pictures(run: Path) -> str:
    there = [(name, title) for name, title in PICTURES.items() if (run / name).is_file()]
    return "".join(
        f"<figure><figcaption>{title}</figcaption><img src='{name}' alt='{title}'></figure>" for name, title in there
    )


def _sources(table: Mapping[str, Mapping[str, Any]]) -> str:
    if not table:
        return ""
    keys = ["faces", "accuracy", "masked_called_unmasked", "unmasked_called_masked", "recall_incorrect"]
    return "<h2>By source, faces the detector found</h2>" + _table(
        [{"source": source, **{key: row.get(key) for key in keys}} for source, row in table.items()]
    )


def _epochs(history: Sequence[Mapping[str, float]]) -> str:
    return "<h2>Epochs</h2>" + _table(history) if history else ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = list(rows[-1])
    head = "".join(f"<th>{_text(key.replace('_', ' '))}</th>" for key in keys)
    lines = "".join("<tr>" + "".join(f"<td>{_cell(row.get(key))}</td>" for key in keys) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else _text(value)


def _text(value: object) -> str:
    return html.escape(json.dumps(value) if isinstance(value, list | dict) else str(value))
