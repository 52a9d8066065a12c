"""Figures of an evaluation on pictures small enough to check by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trainer.evaluate.comparison import compare, worse
from trainer.evaluate.crops import CropRecord, CropTally, crop_report
from trainer.evaluate.found import Found
from trainer.evaluate.mistakes import crop_mistakes, scene_mistakes
from trainer.evaluate.scenes import SceneRecord, SceneTally, scene_report
from trainer.evaluate.truth import CropTruth, SceneTruth
from trainer.scores.scoring import ScoredPicture, average_precision

MASK, BARE, WRONG = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.0, 0.2, 0.8)
A, B, TINY = (0, 0, 100, 100), (200, 0, 250, 50), (400, 400, 420, 420)


def scene(
    faces: Sequence[tuple[tuple[int, ...], int]],
    found: Sequence[tuple[tuple[int, ...], float, tuple[float, ...]]],
    group: int = 1,
    source: str = "street",
) -> SceneRecord:
    """What is there (box, label) and what was found (box, score, probabilities)."""
    boxes = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
    labels = np.array([label for _, label in faces], np.int64)
    truth = SceneTruth(Path(f"{group}.jpg"), f"{group}.jpg", source, group, boxes, labels)
    return SceneRecord(truth, Found.of([f[0] for f in found], [f[1] for f in found], [f[2] for f in found]))


def portrait(label: int, chances: tuple[float, ...] | None, group: int = 1) -> CropRecord:
    truth = CropTruth(Path(f"{group}.jpg"), f"{group}.jpg", "desk", group, label)
    if chances is None:
        nothing = np.full(4, np.nan, np.float32)
        return CropRecord(truth, -1, nothing[:3], nothing, detected=False)
    array = np.array(chances, np.float32)
    return CropRecord(truth, int(array.argmax()), array, np.array([0, 0, 50, 50], np.float32), detected=True)


def test_faces_and_verdicts_of_one_scene() -> None:
    """One face found and right, one found and called unmasked, one missed for its low score."""
    one = scene([(A, 0), (B, 0), (TINY, 1)], [(A, 0.9, MASK), (B, 0.8, BARE), (TINY, 0.3, BARE)])
    report = scene_report([one], threshold=0.5)
    assert report["faces_ap"] == pytest.approx(1.0)
    assert report["recall"] == pytest.approx(2 / 3)
    assert report["recall_of_24_px"] == 1
    assert report["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert report["accuracy"] == report["masked_called_unmasked"] == 0.5
    assert math.isnan(report["unmasked_called_masked"])
    assert report["class_ap"]["mask"] == pytest.approx(0.5)
    assert math.isnan(report["class_ap"]["incorrect"])
    assert report["recall_by_size"]["16–32"]["recall"] == 0
    assert report["recall_by_size"]["32–64"]["mask"] == 1
    assert report["recall_by_size"][">64"]["support"] == 1


def test_a_wrong_verdict_costs_the_class_that_was_said() -> None:
    """The bare face is found once; a surer box of the wrong class comes first in the curve of that class."""
    pictures = [scene([(A, 0)], [(A, 0.9, BARE)], 1), scene([(A, 1)], [(A, 0.6, BARE)], 2)]
    assert scene_report(pictures, 0.5)["class_ap"]["no_mask"] == pytest.approx(0.5)


def test_small_faces_that_nobody_boxed_cost_nothing_but_large_ones_do() -> None:
    spare = [(A, 0.5, MASK), (TINY, 0.9, MASK)]
    assert scene_report([scene([(A, 0)], spare)], 0.4)["class_ap"]["mask"] == pytest.approx(1)
    spare = [(A, 0.5, MASK), (B, 0.9, MASK)]
    report = scene_report([scene([(A, 0)], spare)], 0.4)
    assert report["class_ap"]["mask"] == report["faces_ap"] == report["precision"] == pytest.approx(0.5)


def test_a_small_face_with_the_wrong_class_is_not_excused_as_unboxed() -> None:
    """Found, but said to be the other class: it is a hit of the face and a mistake of the class."""
    pictures = [scene([(TINY, 1)], [(TINY, 0.9, MASK)], 1), scene([(A, 0)], [(A, 0.5, MASK)], 2)]
    assert scene_report(pictures, 0.4)["class_ap"]["mask"] == pytest.approx(0.5)


def test_every_source_gets_its_own_figures() -> None:
    pictures = [scene([(A, 0)], [(A, 0.9, MASK)], 1, "street"), scene([(A, 0)], [], 2, "hall")]
    report = scene_report(pictures, 0.5)
    assert report["sources"]["street"]["faces_ap"] == 1
    assert report["sources"]["hall"]["faces_ap"] == 0
    assert report["recall"] == 0.5


def random_scenes(seed: int, wrong_share: float = 0.2) -> list[SceneRecord]:
    random = np.random.default_rng(seed)
    pictures = []
    for group in range(40):
        faces = [((60 * n, 0, 60 * n + 50, 50), int(random.integers(0, 2))) for n in range(random.integers(1, 6))]
        found = []
        for box, label in faces:
            moved = tuple(int(value + random.integers(-12, 13)) for value in box)
            right = random.random() > wrong_share
            found.append((moved, float(random.random()), (MASK, BARE)[label if right else 1 - label]))
        pictures.append(scene(faces, found, group, f"source {group % 2}"))
    return pictures


def test_the_curve_is_the_one_of_the_trainer() -> None:
    pictures = random_scenes(1)
    plain = [ScoredPicture(one.found.boxes, one.found.scores, one.truth.boxes) for one in pictures]
    wanted = average_precision(plain, ignore_below_px=40)
    assert SceneTally.of(pictures, 0.3).figures()["faces_ap"] == pytest.approx(wanted)


def test_a_group_that_weighs_two_counts_as_if_it_were_there_twice() -> None:
    """This is what makes the intervals right."""
    pictures = random_scenes(2)
    tally = SceneTally.of(pictures, 0.3)
    weights = np.random.default_rng(3).integers(0, 3, len(tally.groups)).astype(np.float64)
    times = dict(zip(tally.groups, weights.astype(int), strict=True))
    repeated = [one for one in pictures for _ in range(times[one.truth.group])]
    wanted = SceneTally.of(repeated, 0.3).figures()
    assert tally.figures(weights) == pytest.approx(wanted, nan_ok=True)


def test_a_picture_without_a_verdict_is_wrong_and_in_no_confusion() -> None:
    report = crop_report([portrait(0, MASK, 1), portrait(0, None, 2), portrait(1, BARE, 3), portrait(2, BARE, 4)])
    assert report["accuracy"] == 0.5
    assert report["accuracy_detected"] == pytest.approx(2 / 3)
    assert report["detected"] == 0.75
    assert report["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert report["sources"]["desk"]["pictures"] == 4


def test_calibration_is_the_gap_between_sureness_and_truth() -> None:
    assert crop_report([portrait(0, MASK, n) for n in range(10)])["calibration_error"] == pytest.approx(0.1, abs=1e-6)
    (row,) = crop_report([portrait(0, MASK, n) for n in range(10)])["reliability"]
    assert row["faces"] == 10
    assert row["right"] == 1


def test_no_picture_gives_no_figure_and_no_failure() -> None:
    assert math.isnan(crop_report([])["accuracy"])
    assert math.isnan(scene_report([], 0.5)["faces_ap"])


def test_a_system_is_the_same_as_itself() -> None:
    tally = SceneTally.of(random_scenes(4), 0.3)
    rows = compare(tally, tally, draws=20)
    assert {row["change"] for row in rows.values()} <= {"same", "unknown"}
    assert worse(rows) == []


def test_what_clearly_got_worse_is_marked_and_what_may_be_chance_is_doubted() -> None:
    good, bad = random_scenes(5, 0.05), random_scenes(5, 0.6)
    rows = compare(SceneTally.of(good, 0.3), SceneTally.of(bad, 0.3), draws=200)
    assert rows["accuracy"]["change"] == "worse"
    assert rows["masked_called_unmasked"]["change"] == "worse"
    assert rows["masked_called_unmasked"]["low"] > 0
    assert "accuracy" in worse(rows)
    back = compare(SceneTally.of(bad, 0.3), SceneTally.of(good, 0.3), draws=200)
    assert back["accuracy"]["change"] == "better"
    few = [portrait(0, MASK, n) for n in range(20)]
    one_wrong = [portrait(0, BARE if n == 7 else MASK, n) for n in range(20)]
    rows = compare(CropTally.of(few), CropTally.of(one_wrong), draws=200)
    assert rows["accuracy"]["change"] == "worse?"


def test_systems_scored_on_other_pictures_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same groups"):
        compare(CropTally.of([portrait(0, MASK, 1)]), CropTally.of([portrait(0, MASK, 2)]))


def test_the_worst_mistakes_are_sorted_by_how_bad_they_are() -> None:
    one = scene(
        [(A, 0), (B, 1), ((300, 0, 390, 90), 1)], [(A, 0.9, BARE), (B, 0.8, MASK), ((500, 0, 600, 99), 0.7, MASK)]
    )
    wrong, false, missed = scene_mistakes([one], 0.5).values()
    assert [mistake.words for mistake in wrong] == ["no_mask → mask 0.90", "mask → no_mask 0.80"]
    assert [mistake.words for mistake in false] == ["no face 0.70"]
    assert [mistake.words for mistake in missed] == ["missed no_mask, 90 px"]
    (sheet,) = crop_mistakes([portrait(0, None, 1), portrait(0, MASK, 2)]).values()
    assert [mistake.words for mistake in sheet] == ["mask → nothing 1.00, no face found"]
    assert sheet[0].as_json()["box"] is None
