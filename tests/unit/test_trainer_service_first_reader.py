"""A candidate keeps the small network of its base where the two together make no more mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.models.manifest import ModelVersion, bundled, load_version
from tests.trainer_material import shot
from trainer.faces.cuts import CutFace, FaceSet, cut, gather, pad
from trainer.service import firstreader
from trainer.service.cutting import open_finder
from trainer.service.firstreader import keep_first_reader
from trainer.service.served import ServedClassifier


@pytest.fixture
def base() -> ModelVersion:
    return load_version(bundled("classifier"), "classifier")


@pytest.fixture
def candidate(base: ModelVersion, tmp_path: Path) -> ModelVersion:
    """The bundled classifier without its small network."""
    folder = Path(shutil.copytree(base.directory, tmp_path / "candidate"))
    (folder / "quick.onnx").unlink()
    content = json.loads((folder / "manifest.json").read_text())
    content["quick"] = None
    del content["blobs"]["quick"]
    (folder / "manifest.json").write_text(json.dumps(content))
    return load_version(folder, "classifier")


def people() -> FaceSet:
    finder, random, found = open_finder(), np.random.default_rng(1), []
    for number, (wear, label) in enumerate([("bare", 1), ("worn", 0)] * 2):
        picture = pad(shot(number, wear, random))[0]
        seen = finder.find(picture, 320)
        patch, points = cut(picture, seen.boxes[0], seen.landmarks[0])
        found.append(CutFace(patch, 80.0, points, label, "", train=True, detected=True))
    return gather(found)


def test_a_candidate_that_agrees_with_the_small_network_keeps_it(base: ModelVersion, candidate: ModelVersion) -> None:
    faces = people()
    kept = keep_first_reader(base, candidate, [faces], 1)
    assert kept.manifest.quick == base.manifest.quick
    assert kept.read("quick") == base.read("quick")
    assert load_version(candidate.directory, "classifier").manifest == kept.manifest
    assert "quick.onnx" in (candidate.directory / "README.md").read_text()
    assert keep_first_reader(base, kept, [faces], 1) is kept
    alone, together = ServedClassifier(candidate, 1), ServedClassifier(kept, 1, first=kept)
    assert (together.judge(faces).argmax(axis=1) == alone.judge(faces).argmax(axis=1)).all()


class Answers:
    """Stands for a served classifier that is right alone and, with a first reader, wrong about the last face."""

    def __init__(self, version: ModelVersion, threads: int, first: ModelVersion | None = None) -> None:
        del version, threads
        self._wrong = first is not None

    def judge(self, faces: FaceSet) -> NDArray[np.float32]:
        answers = np.eye(3, dtype=np.float32)[faces.labels]
        if self._wrong:
            answers[-1] = np.roll(answers[-1], 1)
        return answers


def test_a_small_network_that_undoes_what_was_taught_is_left_out(
    base: ModelVersion, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firstreader, "ServedClassifier", Answers)
    before = sorted(path.name for path in candidate.directory.iterdir())
    assert keep_first_reader(base, candidate, [people()], 1) is candidate
    assert sorted(path.name for path in candidate.directory.iterdir()) == before
    assert load_version(candidate.directory, "classifier").manifest.quick is None


def test_a_base_without_one_and_a_candidate_of_another_side_get_none(
    base: ModelVersion, candidate: ModelVersion
) -> None:
    assert keep_first_reader(candidate, candidate, [], 1) is candidate
    other = candidate.manifest.model_copy(update={"input": candidate.classifier_input.model_copy(update={"side": 112})})
    larger = ModelVersion(candidate.directory, other)
    assert keep_first_reader(base, larger, [], 1) is larger
