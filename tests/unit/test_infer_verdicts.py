"""The small network is asked first, the classifier where it is not sure."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from common.models.manifest import QuickFacts
from workers.backends.backend import Backend, Pixels, Scores, load_models
from workers.infer.vision.verdicts import QuickVerdicts, quick_verdicts

SURE = 0.9


class Both:
    """Answers by the colour of a crop, and remembers which crops each network saw."""

    name, reduced = "both", False

    def __init__(self) -> None:
        self.whole: list[int] = []
        self.small: list[int] = []

    def detect(self, canvases: Pixels) -> Scores:
        raise NotImplementedError(canvases.shape)

    def classify(self, crops: Pixels) -> Scores:
        self.whole += crops[:, 0, 0, 0].tolist()
        return np.tile(np.array([[0.0, 1.0, 0.0]], np.float32), (len(crops), 1))

    def classify_quick(self, crops: Pixels) -> Scores:
        self.small += crops[:, 0, 0, 0].tolist()
        first = crops[:, 0, 0, 0].astype(np.float32) / 100
        return np.stack([first, (1 - first) / 2, (1 - first) / 2], axis=1)

    def warm_up(self, canvases: object, batch: int) -> None:
        raise NotImplementedError(canvases, batch)

    def warm_up_quick(self) -> None:
        self.small.append(-1)

    def close(self) -> None:
        pass


def crops(*first: int) -> NDArray[np.uint8]:
    return np.tile(np.array(first, np.uint8)[:, None, None, None], (1, 4, 4, 3))


def test_only_faces_that_the_small_network_is_unsure_of_reach_the_classifier() -> None:
    both = Both()
    verdicts = QuickVerdicts(both, both, SURE)
    answers = verdicts.of(crops(95, 50, 90, 89))
    assert both.small == [95, 50, 90, 89]
    assert both.whole == [50, 89]
    assert answers[:, 0].tolist() == [pytest.approx(0.95), 0, pytest.approx(0.9), 0]
    assert answers[:, 1].tolist() == [pytest.approx(0.025), 1, pytest.approx(0.05), 1]


def test_the_classifier_rests_while_the_small_network_is_sure() -> None:
    both = Both()
    QuickVerdicts(both, both, SURE).of(crops(99, 98))
    assert both.whole == []


def test_a_sixth_of_the_faces_is_reckoned_to_reach_the_classifier() -> None:
    both = Both()
    QuickVerdicts(both, both, SURE).spend(crops(*range(12)))
    assert len(both.small) == 12
    assert both.whole == [0, 1]


def test_no_faces_are_no_question_to_the_small_network() -> None:
    both = Both()
    assert QuickVerdicts(both, both, SURE).of(np.empty((0, 4, 4, 3), np.uint8)).shape == (0, 3)
    assert both.small == []


def test_backends_and_versions_without_a_small_network_are_asked_as_before() -> None:
    _, classifier = load_models()
    without = classifier.manifest.model_copy(update={"quick": None})
    assert quick_verdicts(Both(), type(classifier)(classifier.directory, without)) is None
    probe = classifier.manifest.probe
    with_one = classifier.manifest.model_copy(update={"quick": QuickFacts(sure=SURE, probe=probe)})
    version = type(classifier)(classifier.directory, with_one)
    both: Backend = Both()
    made = quick_verdicts(both, version)
    assert made is not None
    made.warm_up()
    assert isinstance(both, Both)
    assert both.small == [-1]
    assert quick_verdicts(object(), version) is None  # type: ignore[arg-type]
