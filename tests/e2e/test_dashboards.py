"""Every query of every dashboard gives data when a real Prometheus has watched a real run for a while."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.e2e.station_run import StationRun
from tests.prometheus_server import Prometheus, metrics_ports
from tests.waiting import until

BUILD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "build.py"
ROLES = {"producer", "infer", "judge"}


def build() -> ModuleType:
    """Load the script that makes the dashboards."""
    spec = importlib.util.spec_from_file_location("build_dashboards", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_code_makes() -> None:
    made = build()
    assert {path.name: path.read_text() for path in made.FOLDER.glob("*.json")} == made.texts()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's package prometheus is not installed")
def test_every_query_of_every_dashboard_returns_data(tmp_path: Path) -> None:
    with StationRun("demo", "--seconds", "100") as run:
        until(lambda: {name.split()[0] for name in metrics_ports(run.process.pid)} >= ROLES, 40)
        with Prometheus(tmp_path, metrics_ports(run.process.pid)) as server:
            empty: list[tuple[str, str, str]] = build().queries()

            def all_answered() -> bool:
                empty[:] = [one for one in empty if not server.query(one[2])]
                return not empty

            try:
                until(all_answered, 75)
            except AssertionError:
                pytest.fail(f"no data for {empty}")
            firing = {one["metric"]["alertname"] for one in server.query('ALERTS{alertstate="firing"}')}
    assert not firing
