"""Scores on tables small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.scores.scoring import (
    ScoredPicture,
    average_precision,
    best_temperature,
    calibration_error,
    class_scores,
    confusion,
    false_verdicts,
    match,
    recall_by_size,
)

FACE = [0.0, 0, 100, 100]
OTHER = [200.0, 0, 300, 100]
NOWHERE = [500.0, 500, 600, 600]
SMALL = [500.0, 500, 520, 520]


def picture(found: list[list[float]], scores: list[float], truth: list[list[float]]) -> ScoredPicture:
    boxes = [np.array(boxes, np.float32).reshape(-1, 4) for boxes in (found, truth)]
    return ScoredPicture(boxes[0], np.array(scores, np.float32), boxes[1])


def test_each_face_is_found_once_by_the_best_box() -> None:
    one = picture([FACE, FACE, OTHER], [0.5, 0.9, 0.8], [FACE])
    assert match(one.boxes, one.scores, one.truth).tolist() == [-1, 0, -1]


@pytest.mark.parametrize(
    ("found", "scores", "truth", "expected"),
    [
        ([FACE, OTHER], [0.9, 0.8], [FACE, OTHER], 1.0),
        ([FACE], [0.9], [FACE, OTHER], 0.5),
        ([NOWHERE, FACE], [0.9, 0.8], [FACE], 0.5),
        ([FACE, NOWHERE], [0.9, 0.8], [FACE], 1.0),
        ([FACE, NOWHERE, OTHER], [0.9, 0.8, 0.7], [FACE, OTHER], 0.5 + 0.5 * 2 / 3),
        ([], [], [FACE], 0.0),
        ([FACE], [0.9], [], 0.0),
    ],
)
def test_average_precision_by_hand(
    found: list[list[float]], scores: list[float], truth: list[list[float]], expected: float
) -> None:
    assert average_precision([picture(found, scores, truth)]) == pytest.approx(expected)


def test_small_boxes_that_nobody_labelled_are_not_wrong() -> None:
    pictures = [picture([SMALL, FACE], [0.9, 0.8], [FACE])]
    assert average_precision(pictures) == pytest.approx(0.5)
    assert average_precision(pictures, ignore_below_px=40) == pytest.approx(1.0)


def test_confusion_and_class_scores_by_hand() -> None:
    table = confusion(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2]))
    assert table.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    scores = class_scores(table)
    assert scores["mask"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": pytest.approx(2 / 3), "support": 3}
    assert scores["no_mask"]["recall"] == 1
    assert class_scores(np.zeros((3, 3), np.int64))["mask"]["f1"] == 0


def test_recall_by_size_puts_faces_into_their_buckets() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    table = recall_by_size(truth, guess, np.array([15.9, 16, 64, 200], np.float32))
    assert list(table) == ["<16", "16–32", "32–64", ">64"]
    assert table["<16"]["mask"] == 1
    assert table["16–32"]["mask"] == 0
    assert table[">64"]["no_mask"] == 0.5
    assert np.isnan(table["32–64"]["mask"])


def test_the_two_errors_that_matter_by_hand() -> None:
    errors = false_verdicts(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 0, 1]))
    assert errors == {"masked_called_unmasked": 0.25, "unmasked_called_masked": 0.5}


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    sure = np.tile(np.array([[0.9, 0.05, 0.05]], np.float32), (10, 1))
    assert calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-6)
    assert calibration_error(sure, np.array([0] * 4 + [1] * 6)) == pytest.approx(0.5, abs=1e-6)


def test_the_temperature_cools_a_network_that_boasts() -> None:
    boasting = np.tile(np.array([[0.99, 0.005, 0.005]], np.float32), (10, 1))
    assert best_temperature(boasting, np.array([0] * 7 + [1] * 3)) > 2
    assert best_temperature(boasting, np.zeros(10, np.int64)) < 0.5
