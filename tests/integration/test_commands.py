"""The command line as people use it: clear words, documented exit statuses, JSON that is only JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.broker.embedded.brokers import EmbeddedPair
from tests.brokers import fresh_keys

ROOT = Path(__file__).resolve().parents[2]


def maskwatch(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maskwatch", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def state(broker_pair: EmbeddedPair) -> dict[str, str]:
    """Variables that point a command at the state broker, under a prefix of the test's own."""
    return {"MASKWATCH_STATE_URL": broker_pair.state.url, "MASKWATCH_PREFIX": fresh_keys().prefix}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text("site: central\ncameras: [{id: gate-1, source: gate.mp4}]\n")
    return path


def test_help_names_every_command() -> None:
    done = maskwatch("--help")
    assert done.returncode == 0
    for name in ("up", "demo", "producer", "infer", "judge", "image", "video", "events", "site", "doctor", "train"):
        assert f"\n  {name} " in done.stdout


def test_a_good_plan_is_checked(plan: Path) -> None:
    done = maskwatch("site", "check", plan)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 cameras" in done.stdout


def test_a_misspelt_key_ends_with_status_2_and_the_nearest_name(plan: Path) -> None:
    plan.write_text("site: central\ncameras: [{id: gate-1, source: gate.mp4, fsp: 5}]\n")
    done = maskwatch("site", "check", plan)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"maskwatch: {plan}: cameras[0].fsp: unknown key; did you mean 'fps'?\n"


@pytest.mark.parametrize("command", [("up",), ("site", "check"), ("site", "publish")])
def test_a_missing_plan_ends_with_status_2(command: tuple[str, ...], tmp_path: Path) -> None:
    done = maskwatch(*command, tmp_path / "nowhere.yaml")
    assert done.returncode == 2
    assert "nowhere.yaml: cannot be read" in done.stderr


NOBODY = "redis://:hunter2@127.0.0.1:9/0"


@pytest.mark.parametrize("command", [("site", "show"), ("events", "tail")])
def test_a_broker_that_does_not_answer_ends_with_status_3_and_no_traceback(command: tuple[str, ...]) -> None:
    done = maskwatch(*command, MASKWATCH_STATE_URL=NOBODY)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("maskwatch: ")
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("role", ["producer", "infer", "judge"])
def test_a_role_waits_for_its_broker_and_still_ends_when_asked(role: str) -> None:
    command = [sys.executable, "-m", "maskwatch", role]
    variables = os.environ | {"MASKWATCH_STATE_URL": NOBODY, "MASKWATCH_FRAMES_URL": NOBODY}
    variables["MASKWATCH_PREFIX"] = fresh_keys().prefix  # for as long as it waits, commands find a judge as a run
    with subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or "waiting_for_broker" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.terminate()
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
        rest = process.stderr.read()
    assert "hunter2" not in "".join(lines) + rest


def test_a_misspelt_variable_ends_with_status_2() -> None:
    done = maskwatch("judge", MASKWATCH_STATE_ULR="redis://127.0.0.1:9/0")
    assert done.returncode == 2
    assert "did you mean 'MASKWATCH_STATE_URL'?" in done.stderr


def test_a_published_plan_is_shown_again(plan: Path, state: dict[str, str]) -> None:
    assert maskwatch("site", "show", **state).returncode == 2
    assert "version 1" in maskwatch("site", "publish", plan, **state).stdout
    assert "version 2" in maskwatch("site", "publish", plan, **state).stdout
    shown = json.loads(maskwatch("site", "show", "--json", **state).stdout)
    assert shown["site"] == "central"
    assert shown["cameras"][0]["id"] == "gate-1"


def test_the_schema_of_plans_is_json_for_editors() -> None:
    schema = json.loads(maskwatch("site", "show", "--schema").stdout)
    assert "cameras" in schema["properties"]


@pytest.mark.parametrize("start", ["yesterday", "12-34-56", "$"])
def test_a_start_that_is_no_place_in_the_log_ends_with_status_2(start: str, state: dict[str, str]) -> None:
    done = maskwatch("events", "tail", "--from", start, "--no-follow", **state)
    assert done.returncode == 2
    assert "give 0, now, or an entry id" in done.stderr


def test_doctor_says_what_is_there_as_json() -> None:
    done = maskwatch("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0
    assert findings["embedded broker"]["verdict"] == "ok"
    assert findings["bundled models"]["verdict"] == "ok"


def test_doctor_notices_a_broker_that_does_not_answer() -> None:
    done = maskwatch("doctor", "--json", MASKWATCH_STATE_URL="redis://127.0.0.1:9/0")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert findings["broker"]["verdict"] == "missing"
