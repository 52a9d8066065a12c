"""`maskwatch image` and `maskwatch video` with the bundled models, on pictures of the synthetic scene."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from common.errors import ConfigError, NotAVideoError, SourceUnreachableError
from common.events import CloudEvent
from common.geometry import iou_matrix
from common.lifecycle import StopSignal
from common.schema import FrameResult, Outcome
from common.siteplan import Camera, SitePlan
from maskwatch.look import looking
from maskwatch.run.oracle import compare, expected_episodes
from producers.scene import SceneCamera
from workers.judge.context import context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState
from workers.recording import VideoFile

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def looker() -> Iterator[looking.Looker]:
    with looking.open_pipeline() as looker:
        yield looker


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    scene = SceneCamera("concourse", 1)
    for number, t in enumerate((11.0, 27.0)):
        cv2.imwrite(str(folder / f"{number}.jpg"), scene.frame(t))
    return folder


def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_scene_is_drawn_well_enough_for_the_bundled_models(looker: looking.Looker) -> None:
    """At least nine of ten visible faces are found, and nine of ten of those get the label that the truth names."""
    visible = found = agreed = 0
    wrong: Counter[tuple[str, str]] = Counter()
    for name, seed in (("concourse", 1), ("platform", 3)):
        scene = SceneCamera(name, seed)
        for t in np.arange(1.5, 64, 1.25):
            faces = looker.pipeline.read([scene.frame(float(t))])[0]
            overlap = iou_matrix(
                np.array([face.box for face in faces]), np.array([face.box for face in scene.faces(float(t))])
            )
            for column, truth in enumerate(scene.faces(float(t))):
                if not truth.visible or any(abs(since - t) < 0.4 for since, _ in truth.visit.states[1:]):
                    continue
                visible += 1
                best = int(overlap[:, column].argmax()) if len(faces) else 0
                if len(faces) and overlap[best, column] > 0.4:
                    found += 1
                    agreed += faces[best].label == truth.state
                    wrong[truth.state, faces[best].label] += 1
    assert visible > 80
    assert found >= 0.9 * visible
    assert agreed >= 0.9 * found, wrong


def test_events_of_the_scene_are_its_truth(looker: looking.Looker) -> None:
    """Inference and judge over 33 s of a scene report every violation in it, and nothing else."""
    epoch, seconds, fps = 1_800_000_000.0, 33.0, 5.0
    plan = SitePlan(site="test", cameras=[Camera(id="gates", source=f"synthetic:gates?seed=2&epoch={epoch:.0f}")])
    scene, judge = SceneCamera("gates", 2), CameraJudge(context_of(plan, "gates"), CameraState())
    events: list[CloudEvent] = []
    for seq in range(int(seconds * fps)):
        at = epoch + seq / fps
        faces = looker.pipeline.read([scene.frame(seq / fps)])[0]
        result = FrameResult(
            camera="gates",
            session=1,
            seq=seq,
            frame_id=f"{round(at * 1000)}-0",
            outcome=Outcome.OK,
            captured_at=at,
            published_at=at,
            inferred_at=at,
            width=scene.width,
            height=scene.height,
            faces=tuple(face.relative(scene.width, scene.height) for face in faces),
        )
        events += judge.accept(result, round(at * 1000))
    events += judge.finish(round((epoch + seconds) * 1000))
    comparison = compare(
        expected_episodes(plan.cameras, (epoch, epoch + seconds)), [event.model_dump(mode="json") for event in events]
    )
    assert len(comparison.expected) >= 2
    assert not comparison.missing
    assert not comparison.extra


def test_each_picture_gives_one_json_object_with_its_faces(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looking.image([pictures], as_json=True) == 0
    reports = lines(capsys)
    assert [Path(report["file"]).name for report in reports] == ["0.jpg", "1.jpg"]
    for report, t in zip(reports, (11.0, 27.0), strict=True):
        assert (report["width"], report["height"]) == (960, 540)
        truth = [face for face in SceneCamera("concourse", 1).faces(t) if face.visible]
        assert Counter(face["label"] for face in report["faces"]) == Counter(face.state for face in truth)
        for face in report["faces"]:
            x1, y1, x2, y2 = face["box"]
            assert 0 <= x1 < x2 <= 960
            assert 0 <= y1 < y2 <= 540
            assert face["label_score"] == max(face["probabilities"].values())
            assert set(face["probabilities"]) == {"mask", "no_mask", "incorrect"}
            assert sum(face["probabilities"].values()) == pytest.approx(1, abs=0.001)
            assert 0 < face["score"] <= 1


def test_what_cannot_be_read_is_reported_and_the_rest_is_looked_at(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.jpg").write_text("no picture")
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / "words.jpg", tmp_path / "missing.png", tmp_path / "empty", pictures / "0.jpg"]
    assert looking.image(paths, as_json=True) == 1
    reports = lines(capsys)
    assert [sorted(report) for report in reports[:3]] == [["error", "file"]] * 3
    assert [report["file"] for report in reports] == [str(path) for path in paths]
    assert reports[3]["faces"]


def test_annotated_copies_get_names_of_their_own(pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "0.jpg").write_bytes((pictures / "1.jpg").read_bytes())
    assert looking.image([pictures / "0.jpg", other / "0.jpg"], as_json=True, out=tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0-2.jpg", "0.jpg"]
    first = cv2.imread(str(tmp_path / "out" / "0.jpg"))
    plain = cv2.imread(str(pictures / "0.jpg"))
    assert first is not None
    assert plain is not None
    changed = np.abs(first.astype(int) - plain).max(axis=2) > 60
    assert 0.001 < changed.mean() < 0.1


def test_an_output_folder_that_is_a_file_is_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        looking.image([pictures], as_json=True, out=tmp_path / "out")


def test_without_json_every_picture_gets_a_line_of_words(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looking.image([pictures / "0.jpg"], as_json=False) == 0
    assert "%" in capsys.readouterr().out


def test_a_video_gives_its_violations_as_json_lines_and_an_annotated_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = SceneCamera("gates", 2)
    film = VideoFile(tmp_path / "in.avi", 5.0)
    for number in range(70):
        film.add(scene.frame(4 + number / 5), number / 5)
    film.close()
    assert (
        looking.video(str(tmp_path / "in.avi"), as_json=True, out=tmp_path / "out.mp4", fps=5.0, stop=StopSignal()) == 0
    )
    events = lines(capsys)
    truth = [visit for visit in scene.truth(4, 18) if any(state != "mask" for _, state in visit.states)]
    kinds = Counter(event["data"]["lifecycle"] for event in events if "lifecycle" in event["data"])
    assert kinds["started"] == kinds["ended"] == len(truth) > 0
    copy = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    count = 0
    while copy.read()[0]:
        count += 1
    assert abs(count - 70) <= 2


def test_a_video_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=r"nothing\.mp4"):
        looking.video(str(tmp_path / "nothing.mp4"), as_json=True, stop=StopSignal())


def test_an_endless_video_can_be_stopped_and_ends_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    stop = StopSignal()
    threading.Timer(3.0, stop.set).start()
    assert looking.video("synthetic:gates?seed=2&start=10", as_json=True, view=True, fps=8, stop=stop) == 0
    kinds = Counter(event["data"]["lifecycle"] for event in lines(capsys) if "lifecycle" in event["data"])
    assert kinds["started"] == kinds["ended"] > 0


def test_a_file_that_is_no_video_is_one_clear_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(NotAVideoError, match=r"words\.mp4"):
        looking.video(str(tmp_path / "words.mp4"), as_json=True, stop=StopSignal())
    assert capsys.readouterr().out == ""
