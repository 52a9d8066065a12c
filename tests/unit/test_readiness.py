"""What is measured on faces, what is advised, and the picture that shows both."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import NotAVideoError, SourceUnreachableError
from common.jpeg import decode
from common.lifecycle import StopSignal
from maskwatch.camera import readiness, siting
from maskwatch.camera.readiness import FaceSample, Survey, expected_recall, nose_drop, recall_table, span_of, yaw_deg
from maskwatch.camera.surveying import CheckOptions, check
from workers.charts import Chart, sheet
from workers.recording import read_picture

ROOT = Path(__file__).resolve().parents[2]
PORTRAITS = ROOT / "producers" / "portraits"


def head(turned_deg: float, lifted_deg: float = 0.0, roll_deg: float = 0.0) -> list[tuple[float, float]]:
    """Five points of a head in space, turned and projected: eyes one apart, nose 0.6 before them, mouth 1.1 below."""
    points = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.6, 0.6], [-0.35, 1.1, 0.05], [0.35, 1.1, 0.05]])
    turn, lift, roll = (math.radians(angle) for angle in (turned_deg, lifted_deg, roll_deg))
    about_y = np.array([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(lift), math.sin(lift)], [0, -math.sin(lift), math.cos(lift)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    shown = points @ (about_z @ about_x @ about_y).T
    return [(200 + 40 * x, 100 + 40 * y) for x, y, _ in shown]


@pytest.mark.parametrize("turned", [-50, -30, -10, 0, 10, 30, 50])
@pytest.mark.parametrize("roll", [0, 20])
def test_the_angle_of_a_turned_head_is_estimated_whatever_its_tilt(turned: float, roll: float) -> None:
    assert yaw_deg(head(turned, roll_deg=roll)) == pytest.approx(turned, abs=1)


def test_a_head_seen_from_above_has_its_nose_nearer_the_mouth() -> None:
    assert nose_drop(head(0, 30)) > nose_drop(head(0)) + 0.15
    assert nose_drop(head(0, -30)) < nose_drop(head(0)) - 0.15
    assert nose_drop([(1, 1)] * 5) == 0.5
    assert yaw_deg([(1, 1)] * 5) == 90


def survey(count: int = 40, **face: Any) -> Survey:
    sample: dict[str, Any] = {"px": 80, "detector_px": 40, "yaw_deg": 5, "drop": 0.5, "blur": 300, "luma": 120} | face
    return Survey(
        "gate.mp4", (1920, 1080), (1280, 720), 25.0, True, 60.0, 100, [120.0] * 100, [300.0] * 100,
        [FaceSample(**sample) for _ in range(count)], (40, 40),
    )  # fmt: skip


def advise(one: Survey) -> tuple[str, str, list[siting.Advice]]:
    """Give the verdict, all words that ask for something, and the whole advice."""
    figures = readiness.figures(one, None)
    advice = siting.advise(figures)
    return siting.verdict(advice, figures), " ".join(a.words for a in advice if a.weight != "good"), advice


def test_a_camera_that_hangs_well_is_ready_and_each_sentence_has_its_reason() -> None:
    verdict, words, advice = advise(survey())
    assert (verdict, words) == ("ready", "")
    assert all(any(letter.isdigit() for letter in one.reason) for one in advice)


@pytest.mark.parametrize(
    ("face", "verdict", "words"),
    [
        ({"px": 12}, "not ready", "4.0 times larger"),
        ({"px": 30}, "not ready", "1.6 times the focal length"),
        ({"yaw_deg": 50}, "not ready", "picture's right"),
        ({"yaw_deg": -50}, "not ready", "picture's left"),
        ({"drop": 0.85}, "usable", "lower"),
        ({"drop": 0.2}, "usable", "higher"),
        ({"blur": 20}, "usable", "exposure"),
        ({"luma": 30}, "usable", "backlight"),
    ],
)
def test_each_fault_of_faces_is_named_with_its_remedy(face: dict[str, Any], verdict: str, words: str) -> None:
    found = advise(survey(**face))
    assert found[0] == verdict
    assert words in found[1]


def test_faults_of_the_picture_are_named() -> None:
    dark, soft, slow, small = survey(luma=20), survey(), survey(), survey(px=20)
    dark.lumas, soft.sharpness, slow.fps, small.size = [20.0], [3.0], 1.0, (640, 360)
    small.closer = (40, 20)
    assert "Add light" in advise(dark)[1]
    assert "clean its glass" in advise(soft)[1]
    assert "frames a second" in advise(slow)[1]
    assert "larger picture" in advise(small)[1]
    assert "Narrow the view" in advise(small)[1]
    slow.own_rate = False
    assert "frames a second" not in advise(slow)[1]


def test_a_larger_canvas_is_offered_where_faces_are_missed_and_a_smaller_one_where_all_are_large() -> None:
    far, near, crowd, already = survey(px=20), survey(detector_px=70), survey(detector_px=70), survey(detector_px=70)
    far.closer, crowd.closer, already.detect_px = (40, 20), (40, 34), 320
    assert "detect_px: 1280 in the plan" in advise(far)[1]
    far.detect_px = 1280
    assert "detect_px" not in advise(far)[1]
    verdict, _, advice = advise(near)
    assert verdict == "ready"
    assert [one.weight for one in advice if "detect_px: 320" in one.words] == ["good"]
    assert not [one for other in (survey(), crowd, already) for one in advise(other)[2] if "detect_px" in one.words]


def test_few_faces_are_no_verdict_and_none_say_what_to_try() -> None:
    assert advise(survey(5, px=12))[0] == "unclear"
    none = advise(survey(0))
    assert none[0] == "unclear"
    assert "within" not in none[1]
    assert "nearer" in none[1]
    assert advise(Survey("x", trouble="gone"))[1].startswith("Mend the connection")


def test_buckets_hold_every_face_once_and_zones_are_told_apart() -> None:
    one = survey(0)
    one.faces = [
        FaceSample(px, px / 2, 0, 0.5, 100, 100, zone) for px, zone in ((15.9, "a"), (16, "a"), (64, "b"), (33, ""))
    ]
    figures = readiness.figures(one, None)
    assert figures["face_px_buckets"] == {"<16": 1, "16-32": 1, "32-64": 1, ">64": 1}
    assert figures["zones"]["a"]["face_px_buckets"]["<16"] == 1
    assert figures["zones"]["b"]["faces"] == 1
    assert json.loads(json.dumps(figures)) == figures


def test_recall_to_expect_counts_the_faces_that_were_missed() -> None:
    table = recall_table({"recall_by_size": {"trained": {"<16": 0.25, "16-32": 0.5, "32+": 1.0, "all": 0.7, "x": "?"}}})
    assert table == {"<16": 0.25, "16-32": 0.5, "32+": 1.0}
    assert expected_recall([10, 40], table) == pytest.approx(2 / 5)
    assert expected_recall([40], table) == 1.0
    assert expected_recall([10], None) == expected_recall([], table) == "unknown"
    assert expected_recall([10], {"16-32": 0.5}) == "unknown"
    assert recall_table({"average_precision": {}}) is None
    rows = {"<16": {"recall": 0.3, "support": 40}, "16–32": {"recall": math.nan, "support": 0}}
    assert recall_table({"val": {"all": {"recall_by_size": rows}}}) == {"<16": 0.3}
    assert recall_table({"val": {"all": {"recall_of_24_px": 0.94}}}) == {"≥24": 0.94}
    assert expected_recall([30] * 19 + [10], {"≥24": 0.94}) == 0.94
    assert span_of("≥ 24 px") == (24, math.inf)
    assert span_of("all") is None


def test_the_sheet_holds_the_picture_and_grows_with_its_words() -> None:
    blue = np.full((360, 640, 3), (255, 0, 0), np.uint8)
    charts = [Chart("sizes", [1, 3], ["<16", ">16"]), Chart.of("angles", [], (-90, 90), 12)]
    small = sheet(blue, charts, "gate: ready", [("good", "Fine.", "1 of 1")])
    large = sheet(blue, charts, "gate: ready", [("must", "word " * 100, "30° – 2 ×")] * 4)
    assert small.shape[1] == large.shape[1] == 1440
    assert large.shape[0] > small.shape[0] + 100
    assert (small == (255, 0, 0)).all(axis=2).sum() >= 900 * 500
    tall = sheet(np.zeros((1280, 720, 3), np.uint8), charts, "", [])
    assert tall.shape[0] < 900


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of one portrait, as a folder of pictures that are looked at four times a second."""
    folder = tmp_path_factory.mktemp("clip")
    portrait = (PORTRAITS / "collins.jpg").read_bytes()
    assert decode(portrait).size
    for number in range(30):
        (folder / f"{number:02d}.jpg").write_bytes(portrait)
    return folder


def test_a_clip_is_checked_through_the_real_networks(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The portrait looks straight ahead, is large and well lit."""
    status = check(CheckOptions(str(clip), 60, tmp_path / "out", as_json=True), StopSignal())
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 30
    assert report["faces"] >= 30
    assert abs(report["yaw_deg"]["median"]) < 25
    assert report["face_px"]["median"] > 64
    assert status == (0 if report["verdict"] in ("ready", "usable") else 1) == 0
    assert report["recall_expected"] == "unknown" or 0 < report["recall_expected"] <= 1
    assert read_picture(Path(report["picture"])).shape[1] == 1440
    (figures,) = (tmp_path / "out").glob("*.json")
    assert json.loads(figures.read_text("utf-8"))["faces"] == report["faces"]


def test_a_camera_of_a_plan_is_checked_zone_by_zone(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "site.yaml"
    plan.write_text(
        f"site: s\nzones: [{{id: here}}, {{id: there}}]\n"
        f"cameras: [{{id: gate, source: '{clip}', zones: {{here: [[0, 0], [1, 0], [1, 1], [0, 1]]}}}}]\n"
    )
    check(CheckOptions("gate", 3, site=plan), StopSignal())
    assert "zone here: " in capsys.readouterr().out


def test_what_cannot_be_checked_is_named_without_its_password(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video at all\n" * 100)
    with pytest.raises(NotAVideoError):
        check(CheckOptions(str(text)), StopSignal())
    with pytest.raises(SourceUnreachableError):
        check(CheckOptions(str(tmp_path / "nowhere.mp4")), StopSignal())
    command = [sys.executable, "-m", "maskwatch", "camera", "check", "http://u:hunter2@127.0.0.1:9/x.mjpg"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("maskwatch: source: 127.0.0.1:9 does not answer")
    assert "hunter2" not in done.stderr + done.stdout
