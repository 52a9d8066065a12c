"""Tiny runs on generated pictures: they learn, stop, resume, and refuse what they cannot use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import TrainingError
from common.images import read_picture
from common.models.manifest import load_version
from common.models.networks import build_classifier, build_detector
from common.models.torch_load import load_graph
from trainer.data.pictures import Scene, Skips
from trainer.faces.cuts import PATCH_SIDE, CutFace, FaceSet, gather
from trainer.learning.averaging import average_runs
from trainer.learning.checkpoint import NAME
from trainer.learning.classifier import ClassifierTask, balance
from trainer.learning.detector import DetectorTask
from trainer.learning.fit import fit
from trainer.learning.prefetch import prefetch
from trainer.learning.schedule import rate_at
from trainer.learning.weights import load_backbone
from trainer.release.finished_run import release_run
from trainer.release.notes import standard_notes
from trainer.runs import run_detector
from trainer.settings import ClassifierSettings, DetectorSettings, Schedule

CPU = torch.device("cpu")
COLOURS = ((220, 60, 60), (60, 60, 220), (60, 220, 60))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other are slower than one where the cores are busy."""
    torch.set_num_threads(1)


def coloured_faces(count: int = 36) -> FaceSet:
    """Faces whose label is their colour."""
    random = np.random.default_rng(5)
    faces = []
    for index in range(count):
        label = index % 3
        patch = np.clip(np.array(COLOURS[label]) + random.normal(0, 15, (PATCH_SIDE, PATCH_SIDE, 3)), 0, 255).astype(
            np.uint8
        )
        nowhere = np.full((5, 2), np.nan, np.float32)
        faces.append(CutFace(patch, 40.0, nowhere, label, "drawn", index < count * 3 // 4, True))
    return gather(faces)


def classifier_settings(run: Path, *, resume: bool = False, **more: object) -> ClassifierSettings:
    schedule = Schedule(epochs=3, batch=9, rate=3e-3, seed=7, resume=resume, warm_up=0)
    return ClassifierSettings.model_validate({"run": run, "side": 32, "drawn_masks": 0, "schedule": schedule, **more})


def classifier_task(settings: ClassifierSettings, faces: FaceSet) -> ClassifierTask:
    torch.manual_seed(7)
    return ClassifierTask(build_classifier(dropout=0.2), faces, settings, CPU)


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(10_000))
    return lambda: next(asked) + 1 >= steps


def steady_settings(run: Path, *, resume: bool = False) -> ClassifierSettings:
    """Ten steps an epoch, at a rate at which any start learns."""
    settings = classifier_settings(run, resume=resume, samples=90)
    return settings.model_copy(update={"schedule": settings.schedule.model_copy(update={"rate": 1e-3})})


def test_a_classifier_run_learns_and_resumes_to_the_very_same_weights(tmp_path: Path) -> None:
    """Stopped in the middle of the second epoch and resumed, it ends where an undisturbed run ends."""
    faces = coloured_faces()
    whole, parts = steady_settings(tmp_path / "whole"), steady_settings(tmp_path / "parts")
    history = fit(classifier_task(whole, faces), whole.schedule, whole.run)
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert history[-1]["loss"] < 0.85 * history[0]["loss"]

    stopped = fit(classifier_task(parts, faces), parts.schedule, parts.run, stop_after(15))
    assert len(stopped) == 1
    again = steady_settings(tmp_path / "parts", resume=True)
    resumed = fit(classifier_task(again, faces), again.schedule, again.run)
    assert [record["loss"] for record in resumed] == pytest.approx([record["loss"] for record in history], rel=1e-3)
    first, second = load_file(whole.run / NAME), load_file(parts.run / NAME)
    for name in ("network.output.weight", "network.backbone.0.0.weight"):
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("backbone", "moves"), [("frozen", False), ("staged", False), ("unfrozen", True)])
def test_a_frozen_backbone_keeps_its_weights_and_statistics(tmp_path: Path, backbone: str, moves: bool) -> None:
    settings = classifier_settings(tmp_path, backbone=backbone, head_epochs=1)
    settings = settings.model_copy(update={"schedule": settings.schedule.model_copy(update={"epochs": 1})})
    task = classifier_task(settings, coloured_faces(24))
    before = {name: tensor.clone() for name, tensor in task.network.backbone.state_dict().items()}
    fit(task, settings.schedule, settings.run)
    same = all(torch.equal(before[name], tensor) for name, tensor in task.network.backbone.state_dict().items())
    assert same is not moves


def test_resuming_without_a_checkpoint_or_with_another_network_is_refused(tmp_path: Path) -> None:
    settings = classifier_settings(tmp_path, resume=True)
    task = classifier_task(settings, coloured_faces(12))
    with pytest.raises(TrainingError, match="nothing to resume from"):
        fit(task, settings.schedule, settings.run)
    save_file({"network.other": torch.zeros(1)}, tmp_path / NAME, {"history": "[]"})
    with pytest.raises(TrainingError, match="cannot resume"):
        fit(task, settings.schedule, settings.run)
    (tmp_path / NAME).write_bytes(b"garbage")
    with pytest.raises(TrainingError, match="cannot resume"):
        fit(task, settings.schedule, settings.run)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    settings = classifier_settings(tmp_path)
    task = classifier_task(settings, coloured_faces(24))
    with torch.no_grad():
        task.network.output.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="epoch 1, step 1"):
        fit(task, settings.schedule, settings.run)
    assert not (tmp_path / NAME).exists()


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    save_file({"features.0.0.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match="not the weights of this backbone"):
        load_backbone(build_classifier(), tmp_path / "w.safetensors")


def test_labels_are_balanced_whatever_there_is_most_of() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    sources = np.array(["a"] * 80 + ["b"] * 20)
    weights = balance(labels, sources, np.full(100, 50, np.float32))
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights[labels == 2].sum() > 0.1


def test_the_rate_rises_and_falls() -> None:
    schedule = Schedule(rate=1.0, warm_up=0.1)
    rates = [rate_at(schedule, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02


def test_an_error_while_preparing_batches_reaches_the_caller() -> None:
    def broken() -> object:
        yield (torch.zeros(1),)
        raise TrainingError("no second batch")

    batches = prefetch(broken())  # type: ignore[arg-type]
    next(batches)
    with pytest.raises(TrainingError, match="no second batch"):
        next(batches)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of dark pictures with one bright, eyed disc each; one file is no picture."""
    import cv2

    folder = tmp_path_factory.mktemp("scenes")
    random = np.random.default_rng(2)
    lines = []
    for index in range(12):
        picture = random.integers(0, 60, (160, 160, 3)).astype(np.uint8)
        x, y, radius = (int(value) for value in random.integers([45, 45, 6], [115, 115, 14]))
        cv2.circle(picture, (x, y), radius, (150, 180, 230), -1)
        for side in (-1, 1):
            cv2.circle(picture, (x + side * radius // 3, y - radius // 4), max(1, radius // 8), (20, 20, 20), -1)
        cv2.imwrite(str(folder / f"{index}.jpg"), picture)
        face = {"box": [x - radius, y - radius, x + radius, y + radius], "label": "no_mask"}
        split = "train" if index < 10 else "val"
        lines.append({"file": f"{index}.jpg", "source": "drawn", "group": index, "split": split, "faces": [face]})
    (folder / "broken.jpg").write_bytes(b"no picture")
    lines.append({"file": "broken.jpg", "source": "drawn", "group": 99, "split": "train", "faces": []})
    (folder / "faces.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder / "faces.jsonl"


def test_a_detector_run_learns_skips_broken_pictures_and_becomes_a_release(tmp_path: Path, scenes: Path) -> None:
    """From nothing to a version that loads and answers its probe."""
    schedule = Schedule(epochs=2, batch=5, rate=3e-3, seed=1)
    settings = DetectorSettings(scenes=[scenes], run=tmp_path / "run", side=160, mosaic=0.2, schedule=schedule)
    report = run_detector(settings)
    assert [line.split(":")[0].endswith("broken.jpg") for line in report["skipped"]] == [True]
    history = json.loads((settings.run / "history.json").read_text())
    assert history[-1]["loss"] < history[0]["loss"]
    assert (settings.run / "precision_recall.png").stat().st_size > 1000

    notes = standard_notes("detector", "7", "maskwatch train release")
    manifest = release_run(settings.run, "detector", tmp_path / "version", notes)
    version = load_version(tmp_path / "version", "detector")
    assert version.manifest == manifest
    with torch.inference_mode():
        answer = load_graph(version)(torch.from_numpy(manifest.probe.pixels())).numpy()
    manifest.probe.check(answer)
    assert "YuNet" in (tmp_path / "version" / "README.md").read_text()


def test_a_run_folder_without_a_run_cannot_be_released(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no finished run of a detector"):
        release_run(tmp_path, "detector", tmp_path / "version", standard_notes("detector", "1", "x"))
    assert not (tmp_path / "version").exists()


def test_a_detector_without_any_training_picture_is_refused(tmp_path: Path, scenes: Path) -> None:
    scene = Scene(file="missing.jpg", source="s", group=1, split="train", root=scenes.parent)
    skips = Skips()
    with pytest.raises(TrainingError, match="no training picture is left"):
        DetectorTask(build_detector(), [scene], DetectorSettings(run=tmp_path), CPU, skips)
    assert "missing.jpg" in skips.listed[0]


def test_generated_pictures_can_be_read_back(scenes: Path) -> None:
    assert read_picture(scenes.parent / "0.jpg").shape == (160, 160, 3)


def test_two_runs_average_to_what_lies_between(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        save_file({"network.w": torch.full((2,), value)}, tmp_path / name / NAME, {"history": "[]"})
        (tmp_path / name / "settings.json").write_text("{}")
        (tmp_path / name / "report.json").write_text('{"temperature": 2.0, "accuracy": 0.5}')
    average_runs(tmp_path / "a", tmp_path / "b", 0.25, tmp_path / "c")
    assert load_file(tmp_path / "c" / NAME)["network.w"].tolist() == [1.5, 1.5]
    report = json.loads((tmp_path / "c" / "report.json").read_text())
    assert report == {"temperature": 2.0, "averaged": ["a", "b", 0.25]}
    with pytest.raises(TrainingError, match="no finished runs"):
        average_runs(tmp_path / "a", tmp_path / "none", 0.5, tmp_path / "d")
