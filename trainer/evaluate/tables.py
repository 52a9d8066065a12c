"""Figures as tables for people: in a terminal, in Markdown, in a page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.models.manifest import LABELS

Report = Mapping[str, Any]
ALL_SOURCES = "all"
SCENE_COLUMNS = (
    ("faces AP", "faces_ap"), ("AP mask", "class_ap.mask"), ("AP no_mask", "class_ap.no_mask"),
    ("AP incorrect", "class_ap.incorrect"), ("recall", "recall"), ("recall ≥ 24 px", "recall_of_24_px"),
    ("precision", "precision"),
)  # fmt: skip
VERDICT_COLUMNS = (
    ("accuracy", "accuracy_of_24_px"), ("masked called unmasked", "masked_called_unmasked"),
    ("unmasked called masked", "unmasked_called_masked"), ("incorrect found", "incorrect_found"),
    ("calibration error", "calibration_error"),
)  # fmt: skip
CROP_COLUMNS = (("accuracy, all", "accuracy"), ("face found", "detected"))


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """Write it so that it reads in a terminal and renders in a page."""
        widths = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        lines = [_line(self.head, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
        return "\n".join([f"**{self.title}**", "", *lines, *(_line(row, widths) for row in self.rows)])

    def as_html(self) -> str:
        """Write it as HTML; rows that say ``worse`` are marked."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.head)
        rows = "".join(
            f"<tr{_mark(row)}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<h2>{html.escape(self.title)}</h2>\n<table><tr>{head}</tr>{rows}</table>"


def tables_of(kind: str, report: Report) -> list[Table]:
    """Lay out what `scene_report` or `crop_report` gave, rounded."""
    columns = SCENE_COLUMNS if kind == "scenes" else CROP_COLUMNS
    counts = ("pictures", "faces") if kind == "scenes" else ("pictures",)
    title = "Faces, boxes at IoU 0.5" if kind == "scenes" else "Pictures of one person"
    sizes = (
        ("recall_by_size", "Faces found, by longer side") if kind == "scenes" else ("right_by_size", "Right, by size")
    )
    return [
        _by_source(title, counts, columns, report),
        _by_source("Verdicts on found faces of at least 24 px", ("faces_judged_of_24_px",), VERDICT_COLUMNS, report),
        _by_size(sizes[1], report[sizes[0]]),
        _confusion(report["confusion"]),
    ]


def comparison_table(comparison: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """Lay out what `compare` gave, rounded; what got worse says so in the last column."""
    rows = [
        (
            name, cell(row["old"]), cell(row["new"]), cell(row["difference"], signed=True),
            f"{cell(row['low'], signed=True)} to {cell(row['high'], signed=True)}",
            row["change"].upper() if row["change"] == "worse" else row["change"],
        )
        for name, row in comparison.items()
        if row["change"] != "unknown"
    ]  # fmt: skip
    return Table(title, ("figure", "old", "new", "difference", "95 % interval", "change"), tuple(rows))


def cell(value: float | None, *, signed: bool = False) -> str:
    """Write a figure: three digits, a dash for none."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _by_source(title: str, counts: Sequence[str], columns: Sequence[tuple[str, str]], report: Report) -> Table:
    named = [*report["sources"].items(), (ALL_SOURCES, report)]
    rows = [
        (name, *(str(row[count]) for count in counts), *(cell(_get(row, key)) for _, key in columns))
        for name, row in named
    ]
    words = [count.replace("faces_judged_of_24_px", "faces") for count in counts]
    return Table(title, ("source", *words, *(word for word, _ in columns)), tuple(rows))


def _by_size(title: str, sizes: Mapping[str, Mapping[str, float | None]]) -> Table:
    rows = []
    for bucket, row in sizes.items():
        everything = [f"{cell(row['recall'])} ({row['support']:.0f})"] if "recall" in row else []
        cells = [f"{cell(row[label])} ({row[f'{label}_support']:.0f})" for label in LABELS]
        rows.append((bucket, *everything, *cells))
    every = ("all",) if rows and len(rows[0]) == len(LABELS) + 2 else ()
    return Table(f"{title} (support)", ("face, px", *every, *LABELS), tuple(rows))


def _confusion(table: Sequence[Sequence[int]]) -> Table:
    rows = tuple((label, *map(str, counts)) for label, counts in zip(LABELS, table, strict=True))
    return Table("Confusion of all faces with a verdict: rows true, columns said", ("true", *LABELS), rows)


def _get(row: Any, key: str) -> Any:
    for part in key.split("."):
        row = row[part]
    return row


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(word.ljust(width) for word, width in zip(cells, widths, strict=True)) + " |"


def _mark(row: Sequence[str]) -> str:
    change = row[-1].lower()
    return ' class="worse"' if change == "worse" else ' class="maybe"' if change == "worse?" else ""
