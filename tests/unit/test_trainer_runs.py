"""Whole runs from the command line on tiny data: recipes, folders, packs, kill -9, a full disk, refusals."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from common.errors import TrainingError
from common.images import resize
from common.jpeg import encode
from common.models import torchvision_compat
from common.models.networks import build_classifier
from tests.waiting import until
from trainer.cli import app
from trainer.learning.checkpoint import NAME
from trainer.learning.patience import Patience
from trainer.learning.recipes import RECIPES
from trainer.learning.weights import fold_normalisation
from trainer.runs import run_classifier
from trainer.settings import ClassifierSettings, Schedule

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class; a picture's colour is its class."""
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(4)
    for name, colour in (("with_mask", (220, 60, 60)), ("without_mask", (60, 60, 220))):
        (root / name).mkdir()
        for index in range(16):
            blocks = np.clip(np.array(colour) + random.normal(0, 40, (7, 7, 3)), 0, 255).astype(np.uint8)
            (root / name / f"{index}.jpg").write_bytes(encode(resize(blocks, (72, 72)), 90))
    (root / "with_mask" / "empty.jpg").touch()
    return root


def settings(run: Path, folders: Path, **schedule: object) -> ClassifierSettings:
    plan = Schedule.model_validate({"epochs": 2, "batch": 8, "rate": 2e-3, "warm_up": 0, "threads": 1, **schedule})
    return ClassifierSettings(run=run, crops=[folders], side=32, drawn_masks=0, dropout=0.2, val=0.25, schedule=plan)


def run_command(arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer.cli", "classifier", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_trains_and_reports(tmp_path: Path, folders: Path, name: str) -> None:
    """Each as named but for size and length; without ImageNet weights the report says so."""
    options = [
        "--weights",
        "none",
        "--side",
        "32",
        "--epochs",
        "1",
        "--samples",
        "16",
        "--batch",
        "8",
        "--threads",
        "1",
    ]
    where = ["--run", str(tmp_path / "run"), "--crops", str(folders), "--val", "0.25"]
    result = CliRunner().invoke(app, ["classifier", "--recipe", name, *where, *options])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["recipe"] == name
    assert "untrained backbone" in report["start"]
    assert ("random features" in report["start"]) is name.startswith("frozen")
    assert [line.split(":")[0].endswith("empty.jpg") for line in report["skipped"]] == [True]
    stored = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert stored["architecture"] == RECIPES[name].settings["architecture"]
    assert stored["schedule"]["optimiser"] == RECIPES[name].settings["schedule"]["optimiser"]
    assert (stored["side"], stored["schedule"]["epochs"]) == (32, 1)
    page = (tmp_path / "run" / "index.html").read_text()
    for picture in ("curves", "confusion", "precision_recall", "reliability", "by_size", "mistakes"):
        assert f"{picture}.png" in page
        assert (tmp_path / "run" / f"{picture}.png").stat().st_size > 1000
    assert "precision" in (tmp_path / "run" / "classification_report.txt").read_text()
    assert "mask" in json.loads((tmp_path / "run" / "classification_report.json").read_text())["classes"]


def test_recipes_are_listed_in_words_and_an_unknown_one_is_refused() -> None:
    listed = CliRunner().invoke(app, ["recipes"]).output
    assert all(name in listed for name in RECIPES)
    assert "RMSprop" in listed
    result = CliRunner().invoke(app, ["classifier", "--run", "x", "--recipe", "frozen"])
    assert result.exit_code == 2
    assert "frozen-mobilenet" in result.output


def test_imagenet_weights_that_cannot_be_had_are_a_clear_error(
    tmp_path: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    asked = settings(tmp_path / "run", folders).model_copy(update={"weights": "imagenet", "architecture": "resnet50"})
    with pytest.raises(TrainingError, match=r"resnet50 are not at hand .* --weights FILE\.safetensors"):
        run_classifier(asked)
    assert not (tmp_path / "run" / NAME).exists()


@pytest.mark.parametrize("architecture", ["resnet_tiny", "mobilenet_v2_dense"])
def test_a_network_of_our_own_has_no_imagenet_weights_and_that_is_said(
    tmp_path: Path, folders: Path, architecture: str
) -> None:
    asked = settings(tmp_path / "run", folders).model_copy(update={"weights": "imagenet", "architecture": architecture})
    with pytest.raises(TrainingError, match=rf"{architecture} has no ImageNet weights; mobilenet_v2, resnet50 have"):
        run_classifier(asked)


def test_imagenets_normalisation_moves_into_the_first_layer() -> None:
    """A backbone made for mean and deviation says the same of -1..1 after folding, but for the border."""
    torch.manual_seed(0)
    features = torchvision_compat.mobilenet_v2_features()[:1].eval()  # type: ignore[index]
    pixels = torch.rand(1, 3, 64, 64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        before = features((pixels - mean[:, None, None]) / deviation[:, None, None])
    fold_normalisation(features)
    with torch.inference_mode():
        after = features(pixels * 2 - 1)
    torch.testing.assert_close(before[..., 1:, 1:], after[..., 1:, 1:], rtol=1e-3, atol=1e-4)


def test_a_local_file_starts_the_backbone(tmp_path: Path, folders: Path) -> None:
    torch.manual_seed(3)
    backbone = build_classifier().backbone.state_dict()
    save_file({f"features.{name}": tensor for name, tensor in backbone.items()}, tmp_path / "w.safetensors")
    frozen = settings(tmp_path / "run", folders, epochs=1).model_copy(
        update={"weights": str(tmp_path / "w.safetensors"), "backbone": "frozen"}
    )
    assert run_classifier(frozen)["start"] == "weights from w.safetensors"
    kept = load_file(tmp_path / "run" / NAME)
    torch.testing.assert_close(kept["network.backbone.0.0.weight"], backbone["0.0.weight"])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path, folders: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run_classifier(settings(tmp_path / name, folders, epochs=1, seed=seed))
    a, b, c = (load_file(tmp_path / name / NAME) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["network.output.weight"], c["network.output.weight"])


def test_a_killed_run_loses_at_most_one_epoch(tmp_path: Path, folders: Path) -> None:
    """kill -9 in the middle of a real process; --resume goes on after the last finished epoch to the end."""
    run = tmp_path / "run"
    options = ["--side", "32", "--batch", "8", "--val", "0.25", "--threads", "1", "--samples", "64", "--device", "cpu"]
    where = ["--run", str(run), "--crops", str(folders)]
    process = run_command([*where, *options, "--epochs", "500"])
    try:
        until((run / "history.json").exists, timeout_s=90)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finished = len(json.loads((run / "history.json").read_text()))
    result = CliRunner().invoke(app, ["classifier", *where, *options, "--epochs", str(finished + 2), "--resume"])
    assert result.exit_code == 0, result.output
    history = json.loads((run / "history.json").read_text())
    assert [record["epoch"] for record in history] == list(range(1, finished + 3))


def test_a_full_disk_leaves_the_finished_checkpoint_as_it_was(tmp_path: Path, folders: Path) -> None:
    run_classifier(settings(tmp_path / "run", folders, epochs=1))
    before = (tmp_path / "run" / NAME).read_bytes()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000));"
        "from trainer.cli import app; app(sys.argv[1:])"
    )
    options = ["--side", "32", "--batch", "8", "--val", "0.25", "--threads", "1", "--dropout", "0.2", "--epochs", "2"]
    where = ["--run", str(tmp_path / "run"), "--crops", str(folders), "--resume"]
    ended = subprocess.run(
        [sys.executable, "-c", code, "classifier", *where, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2_000_000
    assert ended.returncode == 1, ended.stderr
    assert "cannot be written" in ended.stderr
    assert (tmp_path / "run" / NAME).read_bytes() == before
    assert not list((tmp_path / "run").glob(".checkpoint*"))


def test_a_run_that_is_there_is_neither_started_over_nor_resumed_as_another_network(
    tmp_path: Path, folders: Path
) -> None:
    run = tmp_path / "run"
    run_classifier(settings(run, folders, epochs=1))
    files = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(TrainingError, match="--resume goes on"):
        run_classifier(settings(run, folders))
    other = settings(run, folders, resume=True).model_copy(update={"architecture": "resnet50"})
    with pytest.raises(TrainingError, match="architecture mobilenet_v2 there, resnet50 now"):
        run_classifier(other)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == files
    assert run_classifier(settings(run, folders, epochs=1, overwrite=True))["epochs"] == 1


def test_faces_cut_from_other_data_are_not_taken_from_the_cache(tmp_path: Path, folders: Path) -> None:
    first = settings(tmp_path / "a", folders, epochs=1).model_copy(update={"cache": tmp_path / "f.npz"})
    run_classifier(first)
    again = first.model_copy(update={"run": tmp_path / "b"})
    assert len(run_classifier(again)["skipped"]) == 1
    other = first.model_copy(update={"run": tmp_path / "c", "val": 0.5})
    with pytest.raises(TrainingError, match="faces of other data"):
        run_classifier(other)


def test_a_loss_that_becomes_nan_stops_the_run_and_keeps_the_finished_epoch(tmp_path: Path, folders: Path) -> None:
    run = tmp_path / "run"
    run_classifier(settings(run, folders, epochs=1))
    stored = load_file(run / NAME)
    poisoned = {**stored, "network.dense.weight": torch.full_like(stored["network.dense.weight"], 3e38)}
    save_file(poisoned, run / NAME, {"history": (run / "history.json").read_text()})
    before = (run / NAME).read_bytes()
    with pytest.raises(TrainingError, match=r"loss (nan|inf) in epoch 2, step 1"):
        run_classifier(settings(run, folders, epochs=3, resume=True))
    assert (run / NAME).read_bytes() == before


def test_a_pack_trains_in_place_of_the_folders(tmp_path: Path, folders: Path) -> None:
    pack = tmp_path / "people.pack"
    packed = CliRunner().invoke(app, ["pack", "--crops", str(folders), "--out", str(pack), "--val", "0.25"])
    assert packed.exit_code == 0, packed.output
    options = ["--side", "32", "--batch", "8", "--epochs", "1", "--threads", "1", "--half"]
    result = CliRunner().invoke(app, ["classifier", "--run", str(tmp_path / "run"), "--pack", str(pack), *options])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "report.json").read_text())["faces"] > 0


def test_patience_stops_and_the_best_epoch_is_what_is_kept(tmp_path: Path, folders: Path) -> None:
    """At an absurd rate after a good start nothing gets better; the run ends with its best epoch's weights."""
    run = tmp_path / "run"
    report = run_classifier(
        settings(run, folders, epochs=40, patience=2, rate=0.3, course="constant", optimiser="adam")
    )
    assert report["epochs"] < 40
    assert report["epochs"] - report["best_epoch"] == 2
    best, kept = load_file(run / "best.safetensors"), load_file(run / NAME)
    assert all(torch.equal(tensor, kept[f"network.{name}"]) for name, tensor in best.items())


def test_patience_without_validation_pictures_is_refused(tmp_path: Path) -> None:
    patience = Patience(tmp_path, 2, "val_loss", higher_is_better=False)
    with pytest.raises(TrainingError, match="needs validation pictures"):
        patience.keep(torch.nn.Linear(1, 1), [{"epoch": 1, "loss": 1.0}])
    history = [{"val_loss": value} for value in (0.5, 0.2, 0.3, 0.4)]
    assert patience.best_epoch(history) == 2
    assert patience.is_spent(history)
    assert not patience.is_spent(history[:3])
