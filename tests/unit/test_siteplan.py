"""A site plan that cannot be used says where and what is nearest; a good one is read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import SitePlanError
from common.pictures import PictureRules
from common.siteplan import SitePlan, load_plan, parse_plan


def plan(*cameras: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"site": "central", "cameras": list(cameras), **rest}


GATE = {"id": "gate-1", "source": "rtsp://camera.example/1"}


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (plan(GATE | {"fsp": 5}), "cameras[0].fsp: unknown key; did you mean 'fps'?"),
        (plan(camras=[]), "camras: unknown key; did you mean 'cameras'?"),
        (plan(GATE, GATE), "cameras[1].id: 'gate-1' is already cameras[0]"),
        (plan(GATE | {"fps": -1}), "cameras[0].fps: Input should be greater than 0"),
        (plan(GATE | {"fps": "30s"}), "cameras[0].fps: Input should be a valid number"),
        (plan(GATE | {"id": "Gate 1"}), "cameras[0].id: String should match pattern"),
        (plan({"id": "gate-1"}), "cameras[0].source: missing"),
        (plan(GATE | {"policy": "defualt"}), "there is no policy 'defualt'; did you mean 'default'?"),
        (plan(GATE | {"place": {"levle": "1"}}), "cameras[0].place.levle: unknown key; did you mean 'level'?"),
        (plan(policies=[{"id": "a"}, {"id": "a"}]), "policies[1].id: 'a' is there twice"),
        (plan(policies=[]), "policies: List should have at least 1 item"),
        ({"cameras": []}, "site: missing"),
        (["gate-1"], "(top level): Input should be"),
        (None, "(top level): Input should be"),
    ],
)
def test_a_bad_plan_names_the_key_and_the_nearest_valid_name(raw: object, complaint: str) -> None:
    with pytest.raises(SitePlanError) as caught:
        parse_plan(raw, "site.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("site.yaml: ")


def test_every_complaint_gets_its_own_line() -> None:
    with pytest.raises(SitePlanError) as caught:
        parse_plan(plan(GATE | {"fsp": 5, "widht": 3}), "site.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["cameras: [", "a: b: c", "\x00"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(SitePlanError, match="no YAML"):
        load_plan(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SitePlanError, match=r"nowhere\.yaml: cannot be read"):
        load_plan(tmp_path / "nowhere.yaml")


def test_a_plan_survives_the_broker_and_finds_its_policies(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "site: central\n"
        "policies: [{id: default}, {id: strict, min_votes: 9}]\n"
        "cameras: [{id: gate-1, source: a.mp4, policy: strict}, {id: gate-2, source: b.mp4}]\n"
    )
    read = load_plan(path)
    again = SitePlan.model_validate_json(read.to_bytes())
    assert again == read
    assert again.policy_of("gate-1").min_votes == 9
    assert again.policy_of("gate-2").id == "default"
    assert again.policy_of("not-in-the-plan").id == "default"


def rules(privacy: dict[str, Any], camera: dict[str, Any] | None = None, **rest: Any) -> PictureRules:
    return parse_plan(plan(GATE | (camera or {}), privacy=privacy, **rest), "site.yaml").pictures_of("gate-1")


CONSENT = {"id": "default", "training": {"consent": True, "share": 0.1, "hours": 5}}
SNAPSHOTS = {"snapshots": True, "snapshot_hours": 2}


def test_pictures_are_off_unless_asked_for() -> None:
    assert rules({}).silent
    assert parse_plan(plan(GATE, privacy={"snapshots": True}), "site.yaml").pictures_of("unknown").silent


def test_site_and_policy_say_which_pictures_may_be_made() -> None:
    assert rules(SNAPSHOTS) == PictureRules("full", snapshots=True, snapshot_s=7200, crop_s=72 * 3600)
    assert not rules(SNAPSHOTS, policies=[{"id": "default", "snapshots": False}]).snapshots
    assert rules({}, policies=[{"id": "default", "snapshots": True}]).snapshots
    crops = rules({}, policies=[CONSENT])
    assert (crops.crops, crops.crop_share, crops.crop_s, crops.snapshots) == (True, 0.1, 5 * 3600, False)
    assert rules({"mode": "redacted", **SNAPSHOTS}).redacted


def test_a_zone_that_does_not_consent_speaks_for_the_whole_picture() -> None:
    corners = [[0, 0], [1, 0], [1, 1]]
    camera = {"zones": {"staff": corners}}
    zones = [{"id": "staff", "policy": "staff"}]
    silent = {"id": "staff", "snapshots": False}
    assert rules(SNAPSHOTS, camera, zones=zones, policies=[CONSENT, silent]).silent
    willing = {"id": "staff", "training": {"consent": True}}
    found = rules(SNAPSHOTS, camera, zones=zones, policies=[CONSENT, willing])
    assert (found.snapshots, found.crops) == (True, True)


def test_a_camera_that_is_only_counted_makes_no_pictures_whatever_its_policy() -> None:
    found = rules(SNAPSHOTS, {"privacy": "statistics"}, policies=[CONSENT])
    assert found.silent
    assert found.mode == "statistics"


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (plan(privacy={"mode": "statistics", "snapshots": True}), "privacy.snapshots: mode 'statistics' makes no"),
        (
            plan(privacy={"mode": "statistics"}, policies=[{"id": "a", "snapshots": True}]),
            "policies[0].snapshots: mode 'statistics' makes no pictures",
        ),
        (plan(privacy={"mode": "redacted"}, policies=[CONSENT]), "policies[0].training.consent: mode 'redacted' keeps"),
        (plan(privacy={"mode": "statistics"}, policies=[CONSENT]), "policies[0].training.consent: mode 'statistics'"),
        (plan(privacy={"snapshot_hours": 73}), "privacy.snapshot_hours: Input should be less than or equal to 72"),
        (plan(privacy={"snapshot": True}), "privacy.snapshot: unknown key; did you mean 'snapshots'?"),
        (plan(policies=[{"training": {"hours": 169}}]), "policies[0].training.hours: Input should be less than"),
    ],
)
def test_a_plan_that_contradicts_its_privacy_is_refused(raw: object, complaint: str) -> None:
    with pytest.raises(SitePlanError) as caught:
        parse_plan(raw, "site.yaml")
    assert complaint in str(caught.value)


def test_on_and_off_are_understood_as_yaml_has_them(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: s\nprivacy: {snapshots: on}\npolicies: [{id: default, snapshots: off}]\n")
    read = load_plan(path)
    assert (read.privacy.snapshots, read.policies[0].snapshots) == (True, False)
