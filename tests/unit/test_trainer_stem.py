"""Lessons for a new stem, and learning beside a teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from common.errors import TrainingError
from common.models.manifest import bundled, load_version
from common.models.names import DetectorName
from common.models.networks import build_classifier, build_detector
from common.models.stems import Refinement
from common.models.torch_load import load_graph
from tests.unit.test_trainer_detector import FACE, scenes
from tests.unit.test_trainer_fit import classifier_settings, coloured_faces
from trainer.data.pictures import Skips, read_scenes
from trainer.learning.checkpoint import NAME
from trainer.learning.classifier import ClassifierTask, normalised
from trainer.learning.detector import DetectorTask
from trainer.learning.detector_loss import LossWeights, likeness_loss
from trainer.learning.fit import fit
from trainer.learning.stem import StemLesson, load_teacher, take_over
from trainer.release.finished_run import release_run, taught_by
from trainer.release.notes import standard_notes
from trainer.runs import run_detector
from trainer.settings import DetectorSettings, Schedule

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


CHEAPER: tuple[DetectorName, ...] = ("yunet_lean", "yunet_coarse", "yunet_patch")


def lesson(folder: Path, architecture: DetectorName = "yunet_lean", **more: object) -> DetectorSettings:
    schedule = Schedule.model_validate({"batch": 4, "epochs": 3, "rate": 5e-3, **more})
    return DetectorSettings(scenes=[folder / "faces.jsonl"], run=folder / "run", side=96, repeat=8, lesson="stem",
                            architecture=architecture, teacher=bundled("detector"), schedule=schedule)  # fmt: skip


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return {n.removeprefix("network."): t for n, t in load_file(run / NAME).items() if n.startswith("network.")}


@pytest.mark.parametrize("architecture", CHEAPER)
def test_a_detectors_stem_follows_its_teacher_and_the_rest_is_the_teachers(
    tmp_path: Path, architecture: DetectorName
) -> None:
    scenes(tmp_path, [[FACE]] * 4)
    run_detector(lesson(tmp_path, architecture))
    learnt, teacher = weights_of(tmp_path / "run"), load_teacher(bundled("detector"), "detector").state_dict()
    behind = [name for name in learnt if not name.startswith(("backbone.model0.", "backbone.refine"))]
    assert set(behind) < set(teacher)
    assert all(torch.equal(learnt[name], teacher[name]) for name in behind)
    report = (tmp_path / "run" / "history.json").read_text()
    errors = [float(part.split(",")[0]) for part in report.split('"stem_error": ')[1:]]
    assert errors[-1] < 0.8 * errors[0]


def test_a_lesson_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Parameters behind the stem have no optimiser state; that must not hinder it."""
    scenes(tmp_path, [[FACE]] * 4)
    run_detector(lesson(tmp_path))
    whole = weights_of(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "whole")
    asked = iter(range(100))
    run_detector(lesson(tmp_path), lambda: next(asked) >= 12)
    run_detector(lesson(tmp_path, resume=True))
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights_of(tmp_path / "run").items())


def test_a_lesson_without_a_teacher_is_refused(tmp_path: Path) -> None:
    scenes(tmp_path, [[FACE]])
    settings = lesson(tmp_path).model_copy(update={"teacher": None})
    with pytest.raises(TrainingError, match="--lesson stem needs --teacher"):
        run_detector(settings)


def test_a_share_of_no_teachers_answers_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    scenes(tmp_path, [[FACE]])
    settings = lesson(tmp_path).model_copy(update={"teacher": None, "lesson": "task", "teacher_share": 0.5})
    with pytest.raises(TrainingError, match="--teacher-share needs --teacher"):
        run_detector(settings)
    assert not settings.run.exists()


@pytest.mark.parametrize("folder", [Path("nowhere"), bundled("classifier")])
def test_what_is_no_detector_cannot_teach_one(folder: Path) -> None:
    with pytest.raises(TrainingError, match="no detector to learn from"):
        load_teacher(folder, "detector")


def test_a_lean_detector_is_released_and_read_back(tmp_path: Path) -> None:
    scenes(tmp_path, [[FACE]] * 4)
    changes = {"lesson": "task", "teacher_share": 0.5}
    settings = DetectorSettings.model_validate({**lesson(tmp_path, epochs=1).model_dump(), **changes})
    run_detector(settings)
    manifest = release_run(settings.run, "detector", tmp_path / "made", standard_notes("detector", "9", "a test"))
    assert (manifest.architecture, manifest.name) == ("yunet_lean", "yunet-lean-mask")
    teacher = load_version(bundled("detector"), "detector").manifest
    assert (
        manifest.training_data[-1] == f"learnt from the answers of {teacher.name} {teacher.version} beside the labels"
    )
    assert taught_by(tmp_path / "gone", "detector") == ["learnt from the answers of another version, gone"]
    graph = load_graph(load_version(tmp_path / "made", "detector"))
    assert graph(torch.zeros((1, 64, 96, 3), dtype=torch.uint8)).shape == (1, 126, 16)


@pytest.mark.parametrize("architecture", ["yunet_n", *CHEAPER])
def test_what_is_before_and_behind_the_stem_is_the_whole(architecture: str) -> None:
    network = build_detector(architecture).eval()
    pictures = torch.rand((1, 3, 64, 96)) * 255
    whole = network(pictures)
    assert torch.equal(network.after_stem(network.backbone.stem(pictures)), whole)
    assert network.entry(pictures).shape == (1, 64, 8, 12)


def test_a_refinement_changes_nothing_before_it_has_learnt() -> None:
    features = torch.rand((2, 64, 6, 10))
    refinement = Refinement(64, 128)
    assert torch.equal(refinement(features), features)
    refinement(features).sum().backward()
    gradient = refinement.conv2.conv2.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_who_answers_as_the_teacher_does_has_the_least_loss_of_likeness() -> None:
    weights = LossWeights()
    teacher = torch.randn((2, 40, 16), generator=torch.Generator().manual_seed(1))
    same = likeness_loss(teacher.clone(), teacher, weights)
    for column in (0, 1, 3, 5, 12):
        other = teacher.clone()
        other[..., column] += 0.5
        assert likeness_loss(other, teacher, weights) > same


def test_a_detectors_teacher_counts_for_its_share(tmp_path: Path) -> None:
    """With the share 1 the labels say nothing: whatever they are, the loss is the same."""
    scenes(tmp_path, [[FACE]] * 4)
    settings = lesson(tmp_path).model_copy(update={"teacher_share": 1.0})
    task = DetectorTask(build_detector("yunet_lean").eval(), read_scenes(tmp_path), settings, CPU, Skips())
    batch = next(iter(task.batches(0)))
    other = (batch[0], batch[1] + torch.tensor([0.0, 8.0, 8.0, 8.0, 8.0]), *batch[2:])
    assert torch.equal(task.loss(batch), task.loss(other))
    task.settings = settings.model_copy(update={"teacher_share": 0.5})
    assert not torch.equal(task.loss(batch), task.loss(other))


def test_a_classifiers_stem_follows_its_teacher(tmp_path: Path) -> None:
    torch.manual_seed(4)
    teacher = build_classifier("mobilenet_v2").eval().requires_grad_(False)
    network = build_classifier("mobilenet_v2_dense")
    shared = take_over(network, teacher)
    assert shared == len([name for name in network.state_dict() if not name.startswith("backbone.0.")])
    settings = classifier_settings(tmp_path, architecture="mobilenet_v2_dense", samples=180)
    history = fit(
        StemLesson(ClassifierTask(network, coloured_faces(), settings, CPU), teacher, normalised),
        settings.schedule,
        tmp_path,
    )
    assert history[-1]["stem_error"] < 0.95 * history[0]["stem_error"]
    behind = {name: t for name, t in network.state_dict().items() if not name.startswith("backbone.0.")}
    assert all(torch.equal(tensor, teacher.state_dict()[name]) for name, tensor in behind.items())


def test_a_teachers_answers_count_for_their_share(tmp_path: Path) -> None:
    """With the share 1 the labels say nothing: whatever they are, the loss is the same."""
    settings = classifier_settings(tmp_path, teacher=bundled("classifier"), teacher_share=1.0)
    network = build_classifier("mobilenet_v2").eval()
    task = ClassifierTask(network, coloured_faces(), settings, CPU)
    batch = next(iter(task.batches(0)))
    other = (batch[0], (batch[1] + 1) % 3)
    assert torch.equal(task.loss(batch), task.loss(other))
    task.settings = settings.model_copy(update={"teacher_share": 0.5})
    assert not torch.equal(task.loss(batch), task.loss(other))


def test_a_smaller_network_for_smaller_crops_is_told_what_its_teacher_sees_at_its_own_side(tmp_path: Path) -> None:
    settings = classifier_settings(
        tmp_path, architecture="resnet_tiny", side=48, teacher=bundled("classifier"), teacher_share=1.0
    )
    task = ClassifierTask(build_classifier("resnet_tiny"), coloured_faces(), settings, CPU)
    shown: list[torch.Tensor] = []
    task.teacher.register_forward_pre_hook(lambda _module, given: shown.append(given[0]))
    batch = next(iter(task.batches(0)))
    assert torch.isfinite(task.loss(batch))
    ((pictures, *others),) = [shown]
    side = load_version(bundled("classifier"), "classifier").classifier_input.side
    assert (pictures.shape[1:], others) == ((3, side, side), [])
    colours = normalised(batch[0]).mean(dim=(2, 3))
    torch.testing.assert_close(pictures.mean(dim=(2, 3)), colours, atol=0.02, rtol=0)
