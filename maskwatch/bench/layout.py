"""How benches print: rows in columns, and doubts below them."""

from __future__ import annotations

from collections.abc import Sequence


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their cells in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_doubts(troubles: Sequence[str]) -> None:
    """Print why figures should not be quoted, if so."""
    if troubles:
        print("\nThis machine was too busy to quote these figures:")
    for trouble in troubles:
        print(f"  {trouble}")
