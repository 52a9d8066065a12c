"""Versions of the published plan: kept, compared, brought back, and never overwritten unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.plans import VERSIONS_KEPT, Byline, PlanStore
from common.errors import SitePlanError
from common.siteplan import parse_plan
from maskwatch import cli
from maskwatch.site import changes, planning
from tests.brokers import Brokers


@pytest.fixture
def store(brokers: Brokers, broker_pair: EmbeddedPair, monkeypatch: pytest.MonkeyPatch) -> PlanStore:
    """The store that commands of this test find through their environment."""
    monkeypatch.setenv("MASKWATCH_STATE_URL", broker_pair.state.url)
    monkeypatch.setenv("MASKWATCH_PREFIX", brokers.keys.prefix)
    return PlanStore(brokers.state, brokers.keys.prefix)


def run(*arguments: str | Path) -> Result:
    """Run a command here; what it raises is in ``exception``."""
    return CliRunner().invoke(cli.app, ["site", *map(str, arguments)])


def plan_file(folder: Path, *cameras: str, more: str = "") -> Path:
    path = folder / "site.yaml"
    path.write_text(f"site: central\ncameras: [{', '.join(cameras)}]\n{more}")
    return path


GATE = "{id: gate, source: 'rtsp://u:secret@cam/1', fps: 5}"
HALL = "{id: hall, source: hall.mp4}"


def test_history_tells_who_when_and_why_and_marks_the_one_in_force(store: PlanStore, tmp_path: Path) -> None:
    run("publish", plan_file(tmp_path, GATE), "--by", "ana@desk", "--note", "first\nnight")
    run("publish", plan_file(tmp_path, GATE, HALL))
    rows = json.loads(run("history", "--json").stdout)
    assert [(row["version"], row["cameras"], row["in_force"]) for row in rows] == [(2, 2, True), (1, 1, False)]
    assert (rows[1]["by"], rows[1]["note"]) == ("ana@desk", "first night")
    assert "@" in rows[0]["by"]
    assert rows[0]["at"].startswith("20")
    lines = run("history").stdout.splitlines()
    assert lines[1].split()[:2] == ["2*", rows[0]["at"]]
    assert "first night" in lines[2]


def test_only_the_last_versions_are_kept_and_numbers_go_on(store: PlanStore) -> None:
    for number in range(VERSIONS_KEPT + 5):
        assert store.publish(b"%d" % number, Byline("me")) == number + 1
    kept = [version.number for version in store.history()]
    assert kept == list(range(VERSIONS_KEPT + 5, 5, -1))
    assert store.at(6).payload == b"5"
    with pytest.raises(SitePlanError, match="no version 5 of the site plan; kept are 6 to 55"):
        store.at(5)


def test_a_diff_shows_old_and_new_values_and_no_password(store: PlanStore, tmp_path: Path) -> None:
    run("publish", plan_file(tmp_path, GATE, HALL))
    faster = GATE.replace("fps: 5", "fps: 8, place: {level: '2'}").replace("secret", "other")
    run(
        "publish", plan_file(tmp_path, faster, "{id: roof, source: roof.mp4, width: 640}", more="time_zone: Asia/Tokyo")
    )
    shown = run("diff").stdout
    assert shown.splitlines()[0].startswith("version 1 → 2: ")
    for line in ("- camera hall", "+ camera roof", "    width: 640", "~ camera gate", "    fps: 5.0 → 8.0"):
        assert line in shown.splitlines()
    assert '    place.level: "" → 2' in shown
    assert "rtsp://u:***@cam/1" in shown
    assert "secret@" not in shown
    assert "other@" not in shown
    data = json.loads(run("diff", "1", "2", "--json").stdout)
    assert {"kind": "removed", "part": "camera", "id": "hall", "fields": []} in data["changes"]
    assert "secret@" not in json.dumps(data)
    assert "other@" not in json.dumps(data)
    assert run("diff", "2", "2").stdout == "version 2 → 2: nothing changes\n"


def test_a_rollback_brings_content_back_as_a_new_version(store: PlanStore, tmp_path: Path) -> None:
    run("publish", plan_file(tmp_path, GATE))
    run("publish", plan_file(tmp_path, HALL))
    done = run("rollback", "1", "--expect", "2")
    assert "version 1 is in force again as version 3: 1 camera removed, 1 camera added" in done.stdout
    assert store.load() == (3, store.at(1).payload)
    assert store.history()[0].byline.note == "rollback to version 1"
    missing = run("rollback", "9")
    assert isinstance(missing.exception, SitePlanError)
    assert store.version() == 3


def test_a_dry_run_shows_and_publishes_nothing(store: PlanStore, tmp_path: Path) -> None:
    run("publish", plan_file(tmp_path, GATE))
    done = run("publish", plan_file(tmp_path, GATE, HALL), "--dry-run")
    assert "+ camera hall" in done.stdout
    assert "dry run against version 1: 1 camera added; nothing was published" in done.stdout
    assert store.version() == 1


def test_two_operators_do_not_overwrite_each_other(store: PlanStore, tmp_path: Path) -> None:
    path = plan_file(tmp_path, GATE)
    assert run("publish", path, "--expect", "0").exit_code == 0
    assert run("publish", path, "--expect", "1").exit_code == 0
    late = run("publish", path, "--expect", "1")
    assert isinstance(late.exception, SitePlanError)  # which ends the command with status 2
    assert "version 2 is in force, not 1: somebody else has published" in str(late.exception)
    assert store.version() == 2
    assert [version.number for version in store.history()] == [2, 1]


def test_numbers_never_repeat_even_where_the_plan_itself_was_lost(store: PlanStore, brokers: Brokers) -> None:
    store.publish(b"1")
    store.publish(b"2")
    call(brokers.state, "DEL", brokers.keys.site("plan"))
    assert store.publish(b"3") == 3


def test_a_broken_plan_in_force_can_be_replaced_and_is_named(
    store: PlanStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.publish(b"{broken")
    assert isinstance(run("show").exception, SitePlanError)
    planning.publish(plan_file(tmp_path, GATE), planning.Publishing())
    told = capsys.readouterr()
    assert "version 1 cannot be compared with: version 1: no JSON" in told.err
    assert "as version 2" in told.out
    with pytest.raises(SitePlanError, match="version 1: no JSON"):
        planning.rollback(1, planning.Publishing())
    assert json.loads(run("history", "--json").stdout)[1]["cameras"] is None


def test_a_damaged_history_entry_is_named_and_harms_no_other(store: PlanStore, brokers: Brokers) -> None:
    store.publish(b"{}")
    call(brokers.state, "XADD", brokers.keys.site("plan:history"), "7-0", "z", b"\x78\x9c garbage")
    store.publish(b"[]")
    assert [version.number for version in store.history()] == [8, 7, 1]
    with pytest.raises(SitePlanError, match="version 7"):
        _ = store.at(7).payload
    assert store.at(8).payload == b"[]"


def test_an_order_that_decides_is_a_change_and_one_that_does_not_is_none() -> None:
    def plan(cameras: list[str], policies: list[str]) -> Any:
        entries = [{"id": name, "source": "x", "policy": "a"} for name in cameras]
        return parse_plan({"site": "s", "cameras": entries, "policies": [{"id": name} for name in policies]}, "t")

    assert changes.compare(plan(["c", "d"], ["a", "b"]), plan(["d", "c"], ["a", "b"])) == []
    (found,) = changes.compare(plan(["c"], ["a", "b"]), plan(["c"], ["b", "a"]))
    assert changes.lines([found])[1] == '    order of policies: ["a", "b"] → ["b", "a"]'
