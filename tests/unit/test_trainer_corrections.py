"""Wrong labels: corrected by eye from a list, or left out where the network finds them next to impossible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import TrainingError
from common.images import Picture
from common.models.manifest import bundled, load_version
from common.models.networks import build_classifier
from trainer.faces.augment import framed
from trainer.faces.corrections import correct, read_corrections
from trainer.faces.cuts import PATCH_SIDE, CutFace, FaceSet, gather
from trainer.learning.classifier import ClassifierTask
from trainer.learning.fit import fit
from trainer.learning.stem import load_teacher, take_over
from trainer.settings import ClassifierSettings, Schedule

MASK, NO_MASK = range(2)
NOWHERE = np.full((5, 2), np.nan, np.float32)


def face(name: str, label: int, *, train: bool = True, left: float = 0, patch: Picture | None = None) -> CutFace:
    pixels = np.zeros((PATCH_SIDE, PATCH_SIDE, 3), np.uint8) if patch is None else patch
    box = np.array([left, 0, left + 40, 40], np.float32)
    return CutFace(pixels, 40.0, NOWHERE, label, "drawn", train, True, name, box)


def corrections_file(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "corrections.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_correction_with_a_box_changes_that_face_alone(tmp_path: Path) -> None:
    faces = gather([face("crowd.jpg", MASK), face("crowd.jpg", MASK, left=200), face("other.jpg", MASK)])
    path = corrections_file(tmp_path, {"file": "crowd.jpg", "box": [202, 1, 241, 40], "label": "no_mask"})
    corrected, changes = correct(faces, read_corrections(path))
    assert corrected.labels.tolist() == [MASK, NO_MASK, MASK]
    assert changes == ["crowd.jpg: mask corrected to no_mask"]
    assert faces.labels.tolist() == [MASK, MASK, MASK]


def test_validation_faces_keep_what_their_set_says(tmp_path: Path) -> None:
    faces = gather([face("a.jpg", MASK, train=False)])
    path = corrections_file(tmp_path, {"file": "a.jpg", "label": "incorrect"})
    corrected, changes = correct(faces, read_corrections(path))
    assert corrected.labels.tolist() == [MASK]
    assert changes == []


def test_a_face_to_ignore_is_left_out(tmp_path: Path) -> None:
    path = corrections_file(tmp_path, {"file": "a.jpg", "label": "ignore"})
    corrected, changes = correct(gather([face("a.jpg", MASK), face("b.jpg", NO_MASK)]), read_corrections(path))
    assert corrected.names.tolist() == ["b.jpg"]
    assert changes == ["a.jpg: mask corrected to ignore"]


def test_a_malformed_correction_is_named_by_its_line(tmp_path: Path) -> None:
    path = corrections_file(tmp_path, {"file": "a.jpg", "label": "mask"}, {"file": "b.jpg", "label": "helmet"})
    with pytest.raises(TrainingError, match=r"corrections\.jsonl:2"):
        read_corrections(path)
    with pytest.raises(TrainingError, match=r"nowhere\.jsonl"):
        read_corrections(tmp_path / "nowhere.jsonl")


def faces_with_a_wrong_label() -> FaceSet:
    """Blue is mask, red is not; the last training face is red and labelled mask."""
    random, faces = np.random.default_rng(3), []
    for index in range(25):
        colour, label = (((220, 40, 40), MASK), ((40, 40, 220), NO_MASK))[index % 2]
        patch = np.clip(np.array(colour) + random.normal(0, 10, (PATCH_SIDE, PATCH_SIDE, 3)), 0, 255).astype(np.uint8)
        faces.append(face(f"{index}.jpg", label, patch=patch))
    wrong = faces[1].patch
    return gather([*faces, face("wrong.jpg", MASK, patch=wrong), face("val.jpg", MASK, train=False)])


def learnt(run: Path) -> ClassifierTask:
    """A task whose network knows the colours, before labels are doubted for the first time."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    schedule = Schedule(epochs=4, batch=9, rate=1e-3, warm_up=0)
    settings = ClassifierSettings.model_validate(
        {"run": run, "side": 32, "drawn_masks": 0, "samples": 90, "schedule": schedule, "doubt": 0.4, "doubt_after": 4}
    )
    network = build_classifier(load_version(bundled("classifier"), "classifier").manifest.architecture, dropout=0.2)
    take_over(network, load_teacher(bundled("classifier"), "classifier"))  # what it begins with has to be of use
    task = ClassifierTask(network, faces_with_a_wrong_label(), settings, torch.device("cpu"))
    fit(task, schedule, run)
    return task


def test_a_face_whose_label_is_next_to_impossible_is_left_out_and_listed(tmp_path: Path) -> None:
    """The doubts of an epoch come from the weights at its beginning, so that a resumed run has the same."""
    task = learnt(tmp_path)
    assert task.doubted == []
    assert task.weights[-1] > 0
    learning = task.network.training
    next(iter(task.batches(4)))
    assert any(line.startswith("wrong.jpg") and line.endswith("looks like no_mask") for line in task.doubted)
    assert task.weights[-1] == 0
    assert task.weights.sum() == pytest.approx(1)
    assert task.network.training is learning
    first = (task.weights.copy(), list(task.doubted))
    task.doubt()
    assert np.array_equal(first[0], task.weights)
    assert first[1] == task.doubted


def test_a_network_that_doubts_everybody_ends_the_run_with_a_clear_error(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    settings = ClassifierSettings(run=tmp_path, side=32, drawn_masks=0, doubt=0.45, doubt_after=1)
    network = build_classifier()
    with torch.no_grad():
        network.output.bias.copy_(torch.tensor([-50.0, -50.0, 50.0]))  # it says "incorrect" to everybody
    task = ClassifierTask(network, faces_with_a_wrong_label(), settings, torch.device("cpu"))
    weights = task.weights.copy()
    with pytest.raises(TrainingError, match="leaves fewer than two classes"):
        task.batches(1)
    np.testing.assert_array_equal(task.weights, weights)


def test_a_framed_face_keeps_its_middle_and_loses_its_surroundings() -> None:
    patch = np.full((160, 160, 3), 200, np.uint8)
    tight = framed(patch, np.random.default_rng(2))
    assert (tight[50:110, 50:110] == 200).all()
    assert not tight[0].any()
    assert not tight[:, -1].any()
    assert (patch == 200).all()
