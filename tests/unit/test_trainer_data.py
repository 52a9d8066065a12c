"""Reading labelled data, cutting faces, degrading them, drawing masks, and the detector's targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from common.errors import TrainingError
from common.models.decode import Detections, grid
from trainer.cli import app
from trainer.data.pictures import Scene, Skips, load_picture, read_portraits, read_scenes
from trainer.faces.augment import CropPlan, jitter, plain_crop, training_crop
from trainer.faces.cuts import PATCH_MARGIN, PATCH_SIDE, cut, cut_scene, pad
from trainer.faces.drawn_masks import INCORRECT, MASK, NO_MASK, draw_mask
from trainer.learning.canvases import Example, make_canvas, window
from trainer.learning.detector import unboxed
from trainer.learning.detector_loss import LossWeights, Target, assign, boxes_of, detector_loss, iou_and_penalty

GOOD = {"file": "a.jpg", "source": "s", "group": 1, "split": "train", "faces": [{"box": [1, 2, 3, 4], "label": "mask"}]}
LANDMARKS = np.array([[60, 70], [100, 70], [80, 90], [65, 110], [95, 110]], np.float32)


def index(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "faces.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_scenes_are_read_with_their_folder(tmp_path: Path) -> None:
    (scene,) = read_scenes(index(tmp_path, GOOD))
    assert scene.path == tmp_path / "a.jpg"
    assert scene.boxes.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{oops", r"faces\.jsonl:2: no JSON"),
        ({**GOOD, "split": "test"}, r"faces\.jsonl:2: split"),
        ({**GOOD, "faces": [{"box": [1, 2, 3], "label": "mask"}]}, r":2: faces\.0\.box"),
        ({**GOOD, "faces": [{"box": [1, 2, 3, 4], "label": "masc"}]}, r":2: faces\.0\.label"),
        ({**GOOD, "split": "val"}, "group 1 is in both train and val"),
    ],
)
def test_a_wrong_line_is_named_by_file_number_and_key(tmp_path: Path, line: object, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        read_scenes(index(tmp_path, GOOD, line))


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nothing\.jsonl"):
        read_portraits(tmp_path / "nothing.jsonl")


def test_broken_pictures_are_listed_and_skipped(tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    skips = Skips()
    assert load_picture(tmp_path / "half.jpg", skips) is None
    assert load_picture(tmp_path / "none.jpg", skips) is None
    assert len(skips) == 2
    assert "half.jpg" in skips.listed[0]


def test_a_patch_holds_the_box_in_its_middle_with_the_landmarks_carried_along() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[100:180, 200:280] = 255
    patch, landmarks = cut(picture, np.array([200, 100, 280, 180], np.float32), np.full((5, 2), [240, 140], np.float32))
    assert patch.shape == (PATCH_SIDE, PATCH_SIDE, 3)
    assert (patch[42:118, 42:118] == 255).all()
    np.testing.assert_allclose(landmarks, 80)
    crop = plain_crop(patch, CropPlan(60, 0.25, PATCH_MARGIN))
    assert (crop[12:48, 12:48] == 255).all()
    assert crop[:8].max() == 0


class StubFinder:
    """Finds the same box in every picture."""

    def __init__(self, box: list[float]) -> None:
        self.found = Detections(np.array([box], np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))

    def find(self, picture: np.ndarray, long_side: int = 640) -> Detections:
        assert picture.ndim == 3
        assert long_side % 32 == 0
        return self.found


def test_a_scene_is_cut_by_the_detectors_box_where_it_found_the_face_else_by_the_label() -> None:
    faces = [
        {"box": [10, 10, 50, 50], "label": "mask"},
        {"box": [100, 100, 190, 190], "label": "incorrect"},
        {"box": [0, 0, 4, 4], "label": "mask"},
    ]
    scene = Scene.model_validate({**GOOD, "faces": faces})
    cuts = list(cut_scene(scene, np.zeros((200, 200, 3), np.uint8), StubFinder([12, 12, 54, 56])))  # type: ignore[arg-type]
    assert [(face.detected, face.size, face.label) for face in cuts] == [(True, 44, 0), (False, 90, 2)]


def test_padding_puts_a_quarter_of_black_around() -> None:
    padded, offset = pad(np.full((40, 20, 3), 9, np.uint8))
    assert padded.shape == (60, 40, 3)
    assert offset.tolist() == [10, 10]
    assert padded.sum() == 9 * 40 * 20 * 3


def test_training_crops_are_as_large_as_asked_and_repeat_with_the_seed() -> None:
    patch = np.random.default_rng(0).integers(0, 256, (PATCH_SIDE, PATCH_SIDE, 3)).astype(np.uint8)
    before = patch.copy()
    plan = CropPlan(48, 0.25, PATCH_MARGIN, drawn_masks=0.5)
    runs = [
        [training_crop(patch, 1, LANDMARKS, plan, r) for _ in range(40)] for r in map(np.random.default_rng, (3, 3))
    ]
    assert all(crop.shape == (48, 48, 3) and crop.dtype == np.uint8 for crop, _ in runs[0])
    assert all((a == b).all() and la == lb for (a, la), (b, lb) in zip(*runs, strict=True))
    assert {label for _, label in runs[0]} == {0, 1, 2}
    assert (patch == before).all()


def test_masked_faces_and_faces_without_landmarks_get_nothing_drawn_on() -> None:
    patch = np.zeros((PATCH_SIDE, PATCH_SIDE, 3), np.uint8)
    plan = CropPlan(32, 0.25, PATCH_MARGIN, drawn_masks=1.0)
    random = np.random.default_rng(0)
    assert training_crop(patch, 0, LANDMARKS, plan, random)[1] == 0
    assert training_crop(patch, 1, np.full((5, 2), np.nan, np.float32), plan, random)[1] == 1


def test_jitter_keeps_the_face_in_the_crop() -> None:
    plan, random = CropPlan(112, 0.25, PATCH_MARGIN), np.random.default_rng(1)
    for _ in range(200):
        matrix = jitter(PATCH_SIDE, plan, random)
        middle = matrix @ np.array([PATCH_SIDE / 2, PATCH_SIDE / 2, 1])
        assert (np.abs(middle - 56) < 28).all()


def test_a_drawn_mask_covers_the_mouth_or_sits_under_the_chin() -> None:
    """Worn right it covers nose and mouth, wrongly it leaves the nose free, a collar leaves the mouth free as well."""
    skin = np.full((PATCH_SIDE, PATCH_SIDE, 3), 120, np.uint8)
    random = np.random.default_rng(4)
    seen = set()
    for _ in range(60):
        drawn, label = draw_mask(skin, LANDMARKS, random)
        covered = (np.abs(drawn.astype(int) - 120) > 6).any(axis=-1)
        seen.add(label)
        if label == MASK:
            assert covered[110, 80]
        else:
            assert not covered[86, 80]
        if label == NO_MASK:
            assert not covered[118, 80]
    assert seen == {MASK, NO_MASK, INCORRECT}


def test_windows_keep_faces_and_pass_over_cut_ones() -> None:
    picture = np.zeros((640, 640, 3), np.uint8)
    boxes = np.array([[300, 300, 360, 360], [-30, 200, 20, 260]], np.float32)
    for seed in range(20):
        canvas = window(Example(picture, boxes), 640, 1.0, np.random.default_rng(seed))
        assert canvas.boxes.shape == (1, 4)
        assert canvas.ignored.shape == (1, 4)
        np.testing.assert_allclose(canvas.boxes[0, 2:] - canvas.boxes[0, :2], 60)


def test_a_mosaic_shows_faces_of_four_pictures_inside_their_quarters() -> None:
    picture = Example(np.full((100, 100, 3), 50, np.uint8), np.array([[30, 30, 70, 70]], np.float32))
    canvas = make_canvas([picture] * 4, 128, 1.0, np.random.default_rng(0))
    assert canvas.pixels.shape == (128, 128, 3)
    assert len(canvas.boxes) + len(canvas.ignored) >= 3
    assert canvas.boxes.min() >= 0
    assert canvas.boxes.max() <= 128


def target(boxes: list[list[float]], ignored: list[list[float]] | None = None, points: int = 84) -> Target:
    as_boxes = [torch.tensor(values or [], dtype=torch.float32).reshape(-1, 4) for values in (boxes, ignored)]
    return Target(as_boxes[0], as_boxes[1], torch.zeros((points, 10)), torch.zeros(points, dtype=torch.bool))


POINTS = torch.tensor(np.array(grid((64, 64))))


def test_a_face_takes_points_near_its_centre_and_no_face_takes_none() -> None:
    logits = torch.zeros((84, 16))
    boxes = boxes_of(logits[:, 2:6], POINTS)
    assert (assign(logits, boxes, POINTS, torch.zeros((0, 4))) == -1).all()
    matched = assign(logits, boxes, POINTS, torch.tensor([[0.0, 0, 16, 16], [40, 40, 64, 64]]))
    for face, centre in ((0, 8.0), (1, 52.0)):
        mine = POINTS[matched == face]
        assert len(mine) >= 1
        assert (((mine[:, :2] + 0.5) * mine[:, 2:] - centre).abs() < 2.5 * mine[:, 2:]).all()


def test_the_loss_falls_when_the_network_says_what_is_there() -> None:
    face = [16.0, 16, 32, 32]
    wrong = torch.full((1, 84, 16), -2.0)
    right = torch.full((1, 84, 16), -8.0)
    right[0, :, 2:4] = torch.tensor([24.0, 24.0]) / POINTS[:, 2:] - POINTS[:, :2]
    right[0, :, 4:6] = torch.log(16 / POINTS[:, 2:])
    matched = assign(right[0], boxes_of(right[0, :, 2:6], POINTS), POINTS, torch.tensor([face])) >= 0
    right[0, matched, :2] = 8.0
    losses = [float(detector_loss(logits, POINTS, [target([face])], LossWeights())) for logits in (wrong, right)]
    assert losses[1] < 0.05 * losses[0]


def test_what_is_passed_over_costs_nothing() -> None:
    loud = torch.full((1, 84, 16), 5.0)
    everywhere = [[-10.0, -10, 100, 100]]
    assert float(detector_loss(loud, POINTS, [target([], everywhere)], LossWeights())) == 0
    assert float(detector_loss(loud, POINTS, [target([])], LossWeights())) > 100


def test_boxes_that_fit_have_full_overlap_and_no_penalty() -> None:
    box = torch.tensor([[10.0, 10, 30, 40]])
    overlap, penalty = iou_and_penalty(box, box)
    assert float(overlap) == pytest.approx(1)
    assert float(penalty) == pytest.approx(0)
    overlap, penalty = iou_and_penalty(box, box + 100)
    assert float(overlap) == 0
    assert float(penalty) > 0.5


def test_only_small_unboxed_faces_are_forgotten_ones() -> None:
    found = np.array([[0, 0, 20, 20], [100, 100, 120, 120], [200, 200, 300, 300]], np.float32)
    assert unboxed(found, np.array([[0, 0, 20, 20]], np.float32)).tolist() == [[100, 100, 120, 120]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classifier", "--run", "x", "--dropout", "2"], "--dropout"),
        (["classifier", "--run", "x", "--architecture", "vgg"], "mobilenet_v2"),
        (["detector", "--run", "x", "--side", "100"], "--side"),
        (["release", "--run", "x", "--kind", "both", "--version", "1", "--into", "y"], "is none of detector"),
    ],
)
def test_wrong_options_are_refused_by_name(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, [part if part != "x" else str(tmp_path) for part in arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_a_run_without_data_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["detector", "--run", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "no data: give --scenes" in result.output
