"""The page of settings says what the code says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from maskwatch.settings_list import page, settings_models, variables

ROOT = Path(__file__).resolve().parents[2]
LATER_MADE = {"MASKWATCH_NOTIFY_RECEIVERS"}


def test_the_page_is_what_the_code_says() -> None:
    """If not: make settings."""
    assert (ROOT / "docs/settings.md").read_text("utf-8") == page()


def test_every_setting_has_a_row_and_a_meaning() -> None:
    rows = dict(re.findall(r"^\| `(MASKWATCH_\w+)` \|.*\| ([^|]*) \|$", page(), re.MULTILINE))
    assert set(rows) == variables()
    assert [name for name, meaning in rows.items() if not meaning.strip()] == []


def test_no_class_of_settings_is_forgotten() -> None:
    """Every class in the code that reads variables is on the page."""
    found = set()
    for folder in ("common", "producers", "workers", "trainer", "maskwatch"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r"^class (\w+)\(BaseSettings\)", path.read_text("utf-8"), re.MULTILINE))
    assert found == {model.__name__ for model in settings_models()}


def test_the_page_holds_no_value_of_this_machine() -> None:
    assert str(Path.home()) + "/" not in page()
    assert os.uname().nodename + " " not in page()
