"""The alert rules: each fires in a case of its own, has a page that says what to do, and reads series that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus"
CASES = sorted((RULES / "tests").glob("*.test.yml"))


def rules(name: str) -> list[dict[str, Any]]:
    """All rules of a file."""
    groups = yaml.safe_load((RULES / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alert.rules.yml")}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_prometheus_finds_every_case_as_written(path: Path) -> None:
    command = ["promtool", "test", "rules", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    names = [case["name"] for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]
    assert sorted(names) == sorted(f"{alert} {what}" for alert in ALERTS for what in ("fires", "stays quiet"))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_page_that_says_what_it_means_how_to_see_it_and_what_to_do(alert: str) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    section = page.partition(f"### {alert}\n")[2].partition("\n#")[0]
    assert all(part in section for part in ("**Means.**", "**See.**", "**Do.**"))
    assert ALERTS[alert]["annotations"]["runbook_url"] == f"docs/alerts.md#{alert.lower()}"
    assert ALERTS[alert]["labels"]["severity"] in ("page", "ticket", "info")


def test_rules_read_only_series_that_the_services_export() -> None:
    code = "".join(
        path.read_text()
        for folder in ("common", "producers", "workers", "trainer")
        for path in (ROOT / folder).rglob("*.py")
    )
    exported = set(re.findall(r'"(maskwatch_[a-z_0-9]+)"', code))
    recorded = {rule["record"] for rule in rules("recording.rules.yml")}
    for rule in rules("alert.rules.yml") + rules("recording.rules.yml"):
        for name in re.findall(r"\bmaskwatch[_:][a-z_0-9:]+", rule["expr"]):
            assert name in recorded or name.removesuffix("_bucket") in exported, f"{name} in {rule}"
