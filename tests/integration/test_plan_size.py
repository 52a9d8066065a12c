"""A plan for two thousand cameras is named wherever one first meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from common.broker.embedded.brokers import EmbeddedPair
from common.siteplan import Camera
from tests.brokers import fresh_keys
from tests.producer_run import ProducerRun
from tests.waiting import until


def plan_file(folder: Path, cameras: int) -> Path:
    """A site of so many cameras, none of which exists."""
    path = folder / "site.yaml"
    listed = [{"id": f"cam-{number}", "source": f"rtsp://127.0.0.1:9/{number}"} for number in range(cameras)]
    path.write_text(yaml.safe_dump({"site": "large", "cameras": listed}))
    return path


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in an environment of only these variables."""
    command = [sys.executable, "-m", "maskwatch", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)


def test_site_check_names_a_large_plan_and_can_be_used_all_the_same(tmp_path: Path) -> None:
    done = run("site", "check", str(plan_file(tmp_path, 2000)))
    assert done.returncode == 0
    assert "can be used" in done.stdout
    assert "2000 cameras; at most 1000" in done.stderr
    assert "MASKWATCH_PARTITIONS=128" in done.stderr
    assert run("site", "check", str(plan_file(tmp_path, 90))).stderr == ""


def test_publishing_goes_by_the_partitions_that_are_stored(tmp_path: Path, broker_pair: EmbeddedPair) -> None:
    urls = {"MASKWATCH_STATE_URL": broker_pair.state.url, "MASKWATCH_FRAMES_URL": broker_pair.frames.url}
    place = {**urls, "MASKWATCH_PREFIX": "large", "MASKWATCH_PARTITIONS": "128"}
    done = run("site", "publish", str(plan_file(tmp_path, 2000)), **place)
    assert done.returncode == 0, done.stderr
    assert "2000 cameras; at most 1000" in done.stderr
    assert "can share them" not in done.stderr


def test_a_producer_of_such_a_plan_says_so_at_its_start(
    broker_pair: EmbeddedPair, caplog: pytest.LogCaptureFixture
) -> None:
    cameras = [Camera(id=f"cam-{number}", source=f"rtsp://127.0.0.1:9/{number}") for number in range(1500)]
    with ProducerRun(broker_pair, cameras, keys=fresh_keys(), cameras=["cam-7"]):
        assert until(lambda: "plan_large" in caplog.messages, 20)
    record = next(record for record in caplog.records if record.message == "plan_large")
    assert "--shard 1/2" in record.__dict__["maskwatch_fields"]["advice"]
