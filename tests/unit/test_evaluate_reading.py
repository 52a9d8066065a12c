"""Truth and predictions from files: what is wrong is named, what is left out is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import ConfigError, TrainingError
from trainer.evaluate.examinee import Foreign
from trainer.evaluate.found import Found, read_predictions, write_predictions
from trainer.evaluate.truth import index_of, read_crops, read_scenes, usual_split


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def row(file: str, **more: Any) -> dict[str, Any]:
    return {"file": file, "source": "s", "group": file, "split": "val", "faces": [], **more}


def test_boxes_that_cannot_be_judged_are_listed_and_the_others_kept(tmp_path: Path) -> None:
    boxes = [[0, 0, 10, 10], [5, 5, 5, 9], [200, 0, 220, 20], [-30, 0, -5, 9]]
    faces = [{"box": box, "label": "mask"} for box in boxes]
    scenes, remarks = read_scenes(
        lines(tmp_path / "faces.jsonl", row("a.jpg", width=100, height=80, faces=faces)), "val"
    )
    assert scenes[0].boxes.tolist() == [[0, 0, 10, 10]]
    assert scenes[0].path == tmp_path / "a.jpg"
    assert [remark.reason for remark in remarks] == [
        "face 2: box without area; not counted",
        "face 3: box outside the picture; not counted",
        "face 4: box outside the picture; not counted",
    ]


def test_a_plain_index_needs_only_file_and_label(tmp_path: Path) -> None:
    index = lines(tmp_path / "crops.jsonl", {"file": "a.jpg", "label": "incorrect"})
    ((crop,), remarks) = read_crops(index, "val")
    assert (crop.label, crop.source, crop.group, remarks) == (2, "data", "a.jpg", [])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a.jpg"), row("b.jpg", faces=[{"box": [0, 0, 1, 1], "label": "maks"}])], r"jsonl:2: faces\.0\.label"),
        ([row("a.jpg", faces=[{"box": [0, 0, 1], "label": "mask"}])], r"jsonl:1: faces\.0\.box"),
        (['{"file": "a.jpg"'], "jsonl:1: no JSON object"),
        ([row("a.jpg", group=1), row("b.jpg", group=1, split="train")], "group 1 is in both val and train"),
        ([row("a.jpg", split="train")], r"no picture in split 'val'; there is: train \(--split all"),
        ([], "none at all"),
    ],
    ids=["label", "box", "json", "leak", "split", "empty"],
)
def test_data_that_cannot_be_used_is_refused_by_file_line_and_key(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        read_scenes(lines(tmp_path / "faces.jsonl", *rows), "val")


def test_the_usual_split_is_validation_where_there_is_one(tmp_path: Path) -> None:
    assert usual_split(lines(tmp_path / "a.jsonl", row("a.jpg", split="train"), row("b.jpg"))) == "val"
    assert usual_split(lines(tmp_path / "b.jsonl", row("a.jpg", split="test"))) == "all"


def test_a_picture_named_twice_counts_once_and_is_listed(tmp_path: Path) -> None:
    scenes, remarks = read_scenes(lines(tmp_path / "faces.jsonl", row("a.jpg"), row("a.jpg")), "all")
    assert len(scenes) == len(remarks) == 1
    assert "twice" in remarks[0].reason


def test_the_wrong_kind_of_folder_says_which_command_is_meant(tmp_path: Path) -> None:
    lines(tmp_path / "crops.jsonl", {"file": "a.jpg", "label": "mask"})
    with pytest.raises(ConfigError, match="maskwatch evaluate crops"):
        index_of(tmp_path, "scenes")
    with pytest.raises(ConfigError, match=r"without faces\.jsonl"):
        index_of(tmp_path / "nowhere", "scenes")
    assert index_of(tmp_path, "crops") == tmp_path / "crops.jsonl"


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = Found.of([[1, 2, 30, 40]], [0.75], [[0.1, 0.7, 0.2]])
    bare = Found(found.boxes, found.scores, np.array([-1]), np.full((1, 3), np.nan, np.float32))
    write_predictions(tmp_path / "p.jsonl", {"a.jpg": found, "b.jpg": bare, "c.jpg": Found.nothing()})
    again = read_predictions(tmp_path / "p.jsonl", tmp_path)
    np.testing.assert_allclose(again["a.jpg"].probabilities, found.probabilities)
    assert again["a.jpg"].labels.tolist() == [1]
    assert again["b.jpg"].labels.tolist() == [-1]
    assert again["b.jpg"].boxes.tolist() == [[1, 2, 30, 40]]
    assert len(again["c.jpg"].boxes) == 0


def test_foreign_predictions_may_name_labels_probabilities_and_absolute_files(tmp_path: Path) -> None:
    faces = [
        {"box": [0, 0, 9, 9], "score": 0.5, "label": "incorrect"},
        {"box": [0, 0, 9, 9], "score": 0.5, "probabilities": {"mask": 0.2, "no_mask": 0.8}},
    ]
    path = lines(
        tmp_path / "p.jsonl",
        {"file": str(tmp_path / "x" / "a.jpg"), "faces": faces, "fps": 3},
        {"file": "./b.jpg", "faces": []},
    )
    predictions = read_predictions(path, tmp_path)
    assert list(predictions) == ["x/a.jpg", "b.jpg"]
    assert predictions["x/a.jpg"].labels.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"file": "a.jpg", "faces": [{"box": [0, 0, 1, 1]}]}], r"p\.jsonl:1: faces\.0\.score"),
        ([{"file": "a.jpg", "faces": [{"box": [0, 0, 1, float("nan")], "score": 1}]}], r"p\.jsonl:1: faces\.0\.box\.3"),
        ([{"file": "a.jpg", "faces": []}, {"file": "./a.jpg", "faces": []}], "named twice"),
    ],
)
def test_malformed_predictions_are_refused(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_predictions(lines(tmp_path / "p.jsonl", *rows), tmp_path)


def test_missing_and_unknown_files_are_named_and_missing_ones_count_as_nothing_found(tmp_path: Path) -> None:
    faces = [{"box": [0, 0, 9, 9], "label": "mask"}]
    index = lines(tmp_path / "faces.jsonl", row("a.jpg", faces=faces), row("b.jpg", faces=faces))
    path = lines(tmp_path / "p.jsonl", {"file": "b.jpg", "faces": []}, {"file": "c.jpg", "faces": []})
    scenes, _ = read_scenes(index, "val")
    foreign = Foreign(path, tmp_path, 0.5)
    records = foreign.scenes(scenes)
    assert [len(record.found.boxes) for record in records] == [0, 0]
    assert foreign.missing == ["a.jpg"]
    assert foreign.unknown({scene.file for scene in scenes}) == ["c.jpg"]


def test_the_principal_face_is_large_and_sure(tmp_path: Path) -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 100, 100], [0, 0, 101, 101]]
    found = Found.of(boxes, [0.99, 0.9, 0.2], [[1, 0, 0]] * 3)
    assert found.principal == 1
    assert Found.nothing().principal == -1
