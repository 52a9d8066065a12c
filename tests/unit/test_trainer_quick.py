"""A small classifier becomes part of its teacher's version: same answers on crops of twice the side, or a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from typer.testing import CliRunner

from common.errors import TrainingError
from common.models.manifest import bundled, load_version
from common.models.networks import ClassifierGraph, build_classifier
from trainer.cli import app
from trainer.faces.augment import CropPlan
from trainer.faces.cuts import PATCH_MARGIN, CutFace, FaceSet, gather
from trainer.learning.checkpoint import NAME
from trainer.learning.classifier import ClassifierTask, crops_of
from trainer.release.quick import release_quick, take_double
from trainer.settings import ClassifierSettings, Schedule
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.backends.openvino_backend import OpenVinoBackend

TEACHER = bundled("classifier")
SIDE = load_version(TEACHER, "classifier").classifier_input.side


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def finished(run: Path, **changes: object) -> Path:
    """A run folder as training leaves it, of an untrained network."""
    given = {"run": run, "architecture": "resnet_tiny", "side": SIDE // 2, "teacher": TEACHER, "dropout": 0.2}
    settings = ClassifierSettings.model_validate(given | changes)
    network = build_classifier(settings.architecture, settings.dense, settings.dropout)
    run.mkdir()
    (run / "settings.json").write_text(settings.model_dump_json())
    (run / "report.json").write_text(json.dumps({"temperature": 1.3, "accuracy": 0.5, "skipped": ["a", "b"]}))
    save_file({f"network.{name}": tensor for name, tensor in network.state_dict().items()}, run / NAME)
    return run


def test_a_network_that_takes_twice_the_side_answers_as_it_did_on_means_of_four() -> None:
    network = build_classifier("resnet_tiny").eval()
    crops = torch.rand(5, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        before = network(functional.avg_pool2d(crops, 2))
        take_double(network)
        assert torch.allclose(network(crops), before, atol=1e-4)


def faces(count: int) -> FaceSet:
    """Blotchy faces, each second one for validation."""
    random = np.random.default_rng(4)
    blotches = random.integers(0, 256, (count, 20, 20, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    nowhere = np.full((5, 2), np.nan, np.float32)
    cut = [CutFace(patch, 60.0, nowhere, n % 3, "own", n % 4 > 1, detected=True) for n, patch in enumerate(blotches)]
    return gather(cut)


@pytest.mark.parametrize(("side", "cut_side"), [(SIDE // 2, SIDE), (SIDE // 3, SIDE), (SIDE - 16, SIDE - 16)])
def test_who_is_asked_first_learns_from_means_of_the_crops_that_its_teacher_sees(
    tmp_path: Path, side: int, cut_side: int
) -> None:
    settings = ClassifierSettings(
        run=tmp_path, architecture="resnet_tiny", side=side, teacher=TEACHER, schedule=Schedule(batch=4)
    )
    task = ClassifierTask(build_classifier("resnet_tiny"), faces(24), settings, torch.device("cpu"))
    pixels, labels = next(iter(task.batches(0)))
    assert pixels.shape == (4, cut_side, cut_side, 3)
    assert torch.isfinite(task.loss((pixels, labels)))
    assert task.val_crops.shape == (12, side, side, 3)
    plain = crops_of(task.val_faces, CropPlan(cut_side, settings.margin, PATCH_MARGIN))
    factor = cut_side // side
    means = plain.reshape(12, side, factor, side, factor, 3).mean(axis=(2, 4))
    assert np.abs(task.val_crops - means).max() <= 0.5


def test_a_run_becomes_a_version_of_its_teacher_that_can_be_asked_quickly(tmp_path: Path) -> None:
    into = tmp_path / "version"
    words = ["release", "--run", str(finished(tmp_path / "run")), "--kind", "quick", "--version", "9", "--sure", "0.9",
             "--into", str(into)]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    version, before = load_version(into, "classifier"), load_version(TEACHER, "classifier")
    assert version.manifest.quick is not None
    assert version.manifest.quick.sure == 0.9
    assert version.manifest.metrics["quick"] == {"temperature": 1.3, "accuracy": 0.5, "skipped": 2}
    assert version.read("onnx") == before.read("onnx")
    backend = open_backend("openvino", *load_models(None, into), BackendOptions(threads=1))
    assert isinstance(backend, OpenVinoBackend)
    crops = np.random.default_rng(2).integers(0, 255, (5, SIDE, SIDE, 3), np.uint8)
    answers = backend.classify_quick(crops)
    assert answers.shape == (5, 3)
    assert np.allclose(answers.sum(axis=1), 1, atol=0.01)
    graph = ClassifierGraph(build_classifier("resnet_tiny"), 1.0)
    assert sum(p.numel() for p in graph.parameters()) < version.manifest.parameters / 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": None}, "learnt without --teacher"),
        ({"side": 32}, "must be twice as large"),
        ({"margin": 0.1}, "with margin 0.1"),
    ],
)
def test_what_does_not_fit_its_teacher_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    run = finished(tmp_path / "run", **changes)
    with pytest.raises(TrainingError, match=words):
        release_quick(run, 0.9, tmp_path / "into", {"version": "1", "command": "c"})
    assert not (tmp_path / "into").exists()


def test_a_network_that_begins_otherwise_cannot_take_larger_crops() -> None:
    with pytest.raises(TrainingError, match="3x3 convolution of stride 2"):
        take_double(build_classifier("resnet50"))
