"""The table of faults is complete and true: every row is proven by something that exists, or says why it is not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.faults.table import ROWS, SCENARIOS, Row

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"


def names_in(path: Path) -> set[str]:
    """Name the test functions of a module, without importing it."""
    return {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_all_thirty_two_faults_are_there_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 33))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_row_is_proven_or_says_why_not(row: Row) -> None:
    assert row.scenarios or row.tests or row.not_run


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.tests}))
def test_a_test_that_a_row_names_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in names_in(ROOT / path)
    assert name.startswith("test_")


def test_scenarios_have_names_of_their_own_and_rows() -> None:
    names = [one.name for one in SCENARIOS]
    assert len(set(names)) == len(names)
    assert {one.number for one in SCENARIOS} <= {row.number for row in ROWS}
    assert all((one.act is None) != (one.alone is None) for one in SCENARIOS)


def test_the_page_has_every_fault_and_every_scenario() -> None:
    text = PAGE.read_text("utf-8")
    lines = text.splitlines()
    for row in ROWS:
        assert any(line.startswith(f"| {row.number} |") for line in lines), row.number
    for scenario in SCENARIOS:
        assert f"`{scenario.name}`" in text, scenario.name
