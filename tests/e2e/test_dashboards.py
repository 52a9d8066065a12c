"""Every query of every dashboard gives data when a real Prometheus has watched a real run for a while."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.dashboards import dashboards
from tests.e2e.station_run import StationRun
from tests.prometheus_server import Prometheus, metrics_ports
from tests.waiting import until

ROLES = {"producer", "infer", "judge"}
PLAN = {
    "site": "office",
    "statistics": {"window_min": 1, "min_count": 1, "grace_s": 2},
    "cameras": [{"id": name, "source": f"synthetic:{name}", "fps": 5} for name in ("gates", "platform")],
}


def test_the_files_are_what_the_code_makes() -> None:
    made = dashboards()
    assert {path.name: path.read_text() for path in made.FOLDER.glob("*.json")} == made.texts()


@pytest.mark.slow
@pytest.mark.timeout(330)
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's package prometheus is not installed")
def test_every_query_of_every_dashboard_returns_data(tmp_path: Path) -> None:
    plan = tmp_path / "site.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    with StationRun("up", str(plan), "--seconds", "300") as run:
        until(lambda: {name.split()[0] for name in metrics_ports(run.process.pid)} >= ROLES, 90)
        with Prometheus(tmp_path, metrics_ports(run.process.pid)) as server:
            empty: list[tuple[str, str, str]] = dashboards().queries()

            def all_answered() -> bool:
                empty[:] = [one for one in empty if not server.query(one[2])]
                return not empty

            try:
                until(all_answered, 180)
            except AssertionError:
                pytest.fail(f"no data for {empty}")
            firing = {one["metric"]["alertname"] for one in server.query('ALERTS{alertstate="firing"}')}
    assert not firing
