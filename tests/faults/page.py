"""Writes the table of `docs/reliability.md` anew: ``python -m tests.faults.page build/faults.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.faults.table import ROWS, Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
_HEAD = "| # | fault | what must hold | bound | measured | proven by |\n|---|---|---|---|---|---|\n"


def table(measured: dict[str, dict[str, Any]]) -> str:
    """Give the table in Markdown; ``measured`` holds the verdicts of a campaign by name."""
    return _HEAD + "".join(_line(row, measured) for row in ROWS)


def _line(row: Row, measured: dict[str, dict[str, Any]]) -> str:
    times = [f"{measured[one.name]['recovery_s']:.1f} s" for one in row.scenarios if one.name in measured]
    proofs = [f"`{one.name}`" for one in row.scenarios] + [_link(test) for test in row.tests]
    cells = [row.number, row.fault, row.holds, row.bound, ", ".join(times) or "–", ", ".join(proofs)]
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def main(arguments: list[str]) -> None:
    """Put the figures of one or more files into the page; later files win."""
    measured: dict[str, dict[str, Any]] = {}
    for path in arguments:
        measured |= {one["name"]: one for one in json.loads(Path(path).read_text("utf-8"))}
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(measured) + "\n" + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
