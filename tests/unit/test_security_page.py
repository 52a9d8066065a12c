"""The security page says what the code grants, and names only tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

from maskwatch.rights import ENDPOINTS, ROLES
from maskwatch.rights.page import put_into

ROOT = Path(__file__).resolve().parents[2]
DANGEROUS = {"eval", "keys", "scan", "config|get", "debug", "flushall", "flushdb", "module|load", "restore", "monitor"}


def test_the_table_of_rights_is_what_the_code_grants() -> None:
    """If not: make rights."""
    page = (ROOT / "docs/security.md").read_text("utf-8")
    assert put_into(page) == page
    assert page.count("| operator |") > 10


def test_every_threat_names_a_test_that_there_is() -> None:
    page = (ROOT / "docs/security.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    there: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))
    assert len(named) > 15
    assert named - there == set()


def test_no_role_has_whole_categories_or_dangerous_commands() -> None:
    for role in ROLES.values():
        for endpoint in ENDPOINTS:
            for grant in role.on(endpoint) or ():
                commands = set(grant.commands.split())
                assert not commands & DANGEROUS
                assert not [one for one in commands if "@" in one or "*" in one or one in ("acl", "info|", "script")]
                assert "*" not in grant.keys
