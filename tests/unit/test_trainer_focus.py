"""The focus head: what it is to learn, that it learns it, and the version that comes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import producers
from common.errors import TrainingError
from common.geometry import FloatArray
from common.images import read_picture, resize
from common.models.focus import FocusHead, SettledHead
from common.models.manifest import bundled, load_version
from tests.unit.test_trainer_detector import scenes, shipped
from trainer.cli import app
from trainer.data.pictures import Skips
from trainer.learning import focus
from trainer.learning.canvases import Canvas
from trainer.learning.focus import UNKNOWN, FocusTask, best_near, focal_loss, focus_target
from trainer.release.finished_run import release_run
from trainer.release.focus import release_focus
from trainer.release.notes import standard_notes
from trainer.runs import run_detector, run_focus
from trainer.settings import DetectorSettings, FocusSettings, Schedule
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.backends.openvino_backend import OpenVinoBackend

NONE = np.zeros((0, 4), np.float32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def canvas(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> Canvas:
    def table(rows: list[list[float]]) -> FloatArray:
        return np.array(rows, np.float32).reshape(-1, 4)

    return Canvas(np.zeros((256, 256, 3), np.uint8), table(boxes), table(ignored or []), NONE)


def test_the_middle_of_a_small_face_is_wanted_and_what_surrounds_it_is_not_judged() -> None:
    small, middling = focus_target(canvas([[90, 90, 118, 118]]))
    assert small.shape == (16, 16)
    assert small[6, 6] == 1
    assert (small == 1).sum() <= 4
    assert small[5, 6] == UNKNOWN or small[7, 6] == UNKNOWN
    assert small[0, 0] == small[15, 15] == small[6, 12] == 0
    assert (middling == 1).sum() == 0
    assert middling[6, 6] == UNKNOWN
    assert middling[0, 0] == 0


def test_a_middling_face_is_wanted_on_the_other_map() -> None:
    small, middling = focus_target(canvas([[60, 60, 120, 125]]))
    assert middling[5, 5] == 1
    assert small[5, 5] == UNKNOWN
    assert (small == 1).sum() == 0


def test_large_cut_and_overlooked_faces_are_not_judged() -> None:
    target = focus_target(canvas([[20, 20, 120, 120]], [[200, 200, 230, 230]]))
    assert (target == 1).sum() == 0
    assert (target[:, 4, 4] == UNKNOWN).all()
    assert (target[:, 13, 13] == UNKNOWN).all()
    beside = focus_target(canvas([[90, 90, 118, 118]], [[80, 80, 130, 130]]))
    assert beside[0, 6, 6] == 1


def test_being_wrong_costs_more_than_being_right_and_the_unknown_nothing() -> None:
    target = torch.from_numpy(focus_target(canvas([[90, 90, 118, 118]])))[None]
    right = torch.where(target > 0, 6.0, -6.0)
    assert focal_loss(right, target).item() < 0.01
    assert focal_loss(-right, target).item() > 10
    unknown = right.clone()
    unknown[target == UNKNOWN] = 9.0
    assert focal_loss(unknown, target).item() == pytest.approx(focal_loss(right, target).item())


def test_the_best_cell_near_a_small_face_counts() -> None:
    chance = np.zeros((16, 16), np.float32)
    chance[7, 7] = 0.8
    assert best_near(canvas([[90, 90, 118, 118], [10, 200, 30, 220], [0, 0, 200, 200]]), chance).tolist() == [
        pytest.approx(0.8),
        0,
    ]


def crowd(folder: Path) -> Path:
    """Pictures of a real face at many sizes on grey, half of them for validation."""
    face, random = read_picture(Path(producers.__file__).parent / "portraits" / "hopper.jpg"), np.random.default_rng(1)
    boxes = [[[60.0, 50.0, 60 + side * 0.5, 50 + side * 0.6]] for side in random.integers(30, 80, 12).tolist()]
    scenes(folder, boxes)
    for number, ((x1, _, x2, _),) in enumerate(boxes):
        side = round((x2 - x1) / 0.5)
        picture = np.full((160, 160, 3), 90, np.uint8)
        picture[50 : 50 + side, 60 - side // 4 : 60 - side // 4 + side] = resize(face, (side, side))
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    index = folder / "faces.jsonl"
    lines = index.read_text().splitlines()
    index.write_text("\n".join(line.replace('"train"', '"val"') if k % 2 else line for k, line in enumerate(lines)))
    return index


def test_a_run_learns_where_small_faces_are_and_becomes_a_version_of_the_same_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus, "VAL_CANVASES", 16)
    index = crowd(tmp_path)
    arguments = ["focus", "--run", str(tmp_path / "run"), "--scenes", str(index), "--side", "256", "--epochs", "30",
                 "--batch", "4", "--rate", "1e-2", "--threads", "1"]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "recall_small" in done.output
    into = tmp_path / "version"
    words = ["release", "--run", str(tmp_path / "run"), "--kind", "focus", "--version", "9", "--into", str(into)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    version, before = load_version(into, "detector"), load_version(bundled("detector"), "detector")
    assert version.manifest.version == "9"
    assert version.read("safetensors") == before.read("safetensors")
    figures = version.manifest.metrics["glance"]
    assert isinstance(figures, dict)
    assert isinstance(figures["recall_small"], float)
    assert figures["recall_small"] > 0.5
    backend = open_backend("openvino", *load_models(into), BackendOptions(threads=1))
    assert isinstance(backend, OpenVinoBackend)
    probe = before.manifest.probe
    raw = backend.glance(probe.pixels())
    assert raw.shape[2] == 17
    probe.check(raw[..., :16], reduced=backend.reduced)
    assert (raw[:, 12 * 16 :, 16] == 0).all()


def test_a_network_of_its_own_glances_for_the_detector_that_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus, "VAL_CANVASES", 2)
    index = crowd(tmp_path)
    schedule = Schedule(epochs=1, batch=4)
    run_detector(DetectorSettings(scenes=[index], run=tmp_path / "own", side=96, architecture="yunet_patch",
                                  teacher=bundled("detector"), schedule=schedule))  # fmt: skip
    release_run(tmp_path / "own", "detector", tmp_path / "glancer", standard_notes("detector", "7", "a test"))
    run_focus(FocusSettings(scenes=[index], run=tmp_path / "run", side=256, glancer=tmp_path / "glancer",
                            schedule=schedule))  # fmt: skip
    manifest = release_focus(tmp_path / "run", tmp_path / "version", {"version": "9", "command": "c"})
    assert manifest.architecture == load_version(bundled("detector"), "detector").manifest.architecture
    assert "yunet-patch-mask:7:" in str(manifest.metrics["glance"])
    backend = open_backend("openvino", *load_models(tmp_path / "version"), BackendOptions(threads=1))
    assert isinstance(backend, OpenVinoBackend)
    probe = load_version(tmp_path / "glancer", "detector").manifest.probe
    probe.check(backend.glance(probe.pixels())[..., :16], reduced=backend.reduced)


def test_a_head_that_serves_answers_as_the_one_that_was_taught() -> None:
    torch.manual_seed(3)
    head, features = FocusHead(), torch.randn(2, 128, 5, 7) * 3 + 1
    for _ in range(40):
        head(features)
    head.eval()
    with torch.no_grad():
        served, taught = SettledHead(head)(*features.chunk(2, dim=1)), head(features)
    assert taught.std() > 0.01
    torch.testing.assert_close(served, taught, rtol=1e-4, atol=1e-5)


def test_a_run_of_something_else_is_no_run_of_a_focus_head(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no finished run of a focus head"):
        release_focus(tmp_path, tmp_path / "into", {"version": "1", "command": "c"})
    assert not (tmp_path / "into").exists()


def test_without_training_pictures_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    found = [one.model_copy(update={"split": "val"}) for one in scenes(tmp_path, [[[40.0, 40.0, 60.0, 60.0]]])]
    settings = FocusSettings(run=tmp_path / "run", schedule=Schedule(batch=2))
    with pytest.raises(TrainingError, match="no training picture"):
        FocusTask(FocusHead(), shipped(), found, settings, Skips())
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
