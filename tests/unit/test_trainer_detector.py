"""The detector's training data and starting point: second looks, crowds, decoys, and the check against an ONNX file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import TrainingError
from common.geometry import FloatArray
from common.models.manifest import bundled
from common.models.networks import build_detector
from common.models.torch_load import fill
from common.models.yunet import YuNet
from trainer.data.pictures import Scene, Skips, read_scenes
from trainer.data.second_look import read_second_look
from trainer.learning.canvases import Example, window
from trainer.learning.detector import DetectorTask, collate, unboxed
from trainer.learning.reference import check_reference, reference_beside
from trainer.runs import run_detector
from trainer.settings import DetectorSettings, Schedule

WEIGHTS = bundled("detector") / "weights.safetensors"
EXPORT = bundled("detector") / "model.onnx"
FACE, OTHER = [40.0, 40.0, 80.0, 80.0], [100.0, 100.0, 140.0, 140.0]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def floats(boxes: list[list[float]]) -> FloatArray:
    return np.array(boxes, np.float32)


def shipped() -> YuNet:
    network = build_detector()
    fill(network, load_file(WEIGHTS), WEIGHTS)
    return network


def scenes(folder: Path, faces: list[list[list[float]]]) -> list[Scene]:
    """Grey pictures with the given boxes; the index is written beside them."""
    lines = []
    for number, boxes in enumerate(faces):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((160, 160, 3), 90, np.uint8))
        about = [{"box": box, "label": "no_mask"} for box in boxes]
        lines.append(json.dumps({"file": f"{number}.png", "source": "drawn", "group": number, "split": "train",
                                 "width": 160, "height": 160, "faces": about}))  # fmt: skip
    (folder / "faces.jsonl").write_text("\n".join(lines))
    return read_scenes(folder / "faces.jsonl")


def task(folder: Path, faces: list[list[list[float]]], **settings: object) -> DetectorTask:
    chosen = DetectorSettings.model_validate(
        {"run": folder / "run", "side": 96, "schedule": Schedule(batch=4), **settings}
    )
    return DetectorTask(build_detector(), scenes(folder, faces), chosen, torch.device("cpu"), Skips())


def test_the_shipped_weights_compute_what_their_export_computes() -> None:
    assert reference_beside(WEIGHTS) == EXPORT
    assert check_reference(shipped(), EXPORT) < 0.02


def test_weights_that_do_not_belong_to_the_export_are_refused() -> None:
    network = shipped()
    with torch.no_grad():
        network.get_parameter("backbone.model0.conv1.weight").mul_(1.2)
    with pytest.raises(TrainingError, match="answers differ by up to"):
        check_reference(network, EXPORT)


@pytest.mark.parametrize("file", [bundled("classifier") / "model.onnx", WEIGHTS])
def test_a_file_that_is_no_detector_is_a_clear_error(file: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot be run|no YuNet"):
        check_reference(shipped(), file)


def test_a_run_is_refused_before_its_first_step_when_weights_and_export_differ(tmp_path: Path) -> None:
    scenes(tmp_path, [[FACE]])
    other = {
        name: tensor * 1.5 if name.endswith("conv1.weight") else tensor for name, tensor in load_file(WEIGHTS).items()
    }
    save_file(other, tmp_path / "weights.safetensors")
    shutil.copy(EXPORT, tmp_path / "model.onnx")
    settings = DetectorSettings(scenes=[tmp_path / "faces.jsonl"], run=tmp_path / "run", side=96,
                                weights=tmp_path / "weights.safetensors")  # fmt: skip
    with pytest.raises(TrainingError, match="belong to another file"):
        run_detector(settings)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_named_export_goes_before_the_one_beside_the_weights(tmp_path: Path) -> None:
    scenes(tmp_path, [[FACE]])
    settings = DetectorSettings(scenes=[tmp_path / "faces.jsonl"], run=tmp_path / "run", side=96, weights=WEIGHTS,
                                reference_onnx=tmp_path / "nothing.onnx")  # fmt: skip
    with pytest.raises(TrainingError, match=r"nothing\.onnx: cannot be run"):
        run_detector(settings)


def test_a_second_look_is_read_by_file_name(tmp_path: Path) -> None:
    path = tmp_path / "look.jsonl"
    path.write_text(json.dumps({"file": "images/a/0.png", "overlooked": [FACE], "decoys": [OTHER, FACE]}) + "\n\n")
    looks = read_second_look(path)
    assert list(looks) == ["0.png"]
    np.testing.assert_array_equal(looks["0.png"].overlooked, [FACE])
    assert looks["0.png"].decoys.shape == (2, 4)


@pytest.mark.parametrize("line", ["[]", "{", '{"file": "a", "decoys": [[5, 5, 5, 9]]}', '{"overlooked": []}'])
def test_a_wrong_line_of_a_second_look_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "look.jsonl"
    path.write_text('{"file": "a"}\n' + line)
    with pytest.raises(TrainingError, match="line 2"):
        read_second_look(path)


def test_overlooked_faces_are_passed_over_and_decoys_are_carried_along_when_mirrored() -> None:
    """Whatever is cut and mirrored, an overlooked face and a decoy stay where the pixels are."""
    picture = np.zeros((160, 160, 3), np.uint8)
    picture[100:140, 100:140] = (255, 0, 0)
    picture[40:80, 40:80] = (0, 255, 0)
    example = Example(picture, np.zeros((0, 4), np.float32), floats([FACE]), floats([OTHER]))
    for seed in range(12):
        canvas = window(example, 640, 1.0, np.random.default_rng(seed))
        assert canvas.boxes.shape == (0, 4)
        for boxes, colour in ((canvas.ignored, 1), (canvas.decoys, 0)):
            x1, y1, x2, y2 = (round(float(value)) for value in boxes[0])
            assert canvas.pixels[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4, colour].min() > 200


def test_windows_show_decoys_more_often_than_chance_would() -> None:
    picture = np.zeros((640, 640, 3), np.uint8)
    face, decoy = floats([[600, 600, 630, 630]]), floats([[10, 10, 40, 40]])
    nothing = np.zeros((0, 4), np.float32)

    def shown(example: Example) -> int:
        return sum(len(window(example, 160, 1.0, np.random.default_rng(seed)).decoys) for seed in range(60))

    assert shown(Example(picture, face, nothing, decoy)) >= 10
    assert shown(Example(picture, face, nothing, nothing)) == 0


def test_a_decoy_is_not_excused_as_a_face_that_nobody_boxed() -> None:
    found = floats([[10, 10, 30, 30], [50, 50, 70, 70]])
    assert len(unboxed(found, np.zeros((0, 4), np.float32))) == 2
    np.testing.assert_array_equal(unboxed(found, floats([[11, 11, 31, 31]])), found[1:])


def test_crowded_pictures_are_drawn_more_often(tmp_path: Path) -> None:
    """With the power 1, a picture of four faces is drawn four times as often as one of a single face."""
    crowd = [[10.0 + 30 * index, 10.0, 30.0 + 30 * index, 30.0] for index in range(4)]
    learner = task(tmp_path, [[FACE]] * 9 + [crowd], crowd=1.0, repeat=100)
    drawn = learner._order(np.random.default_rng(0))
    assert 0.25 < float((drawn == 9).mean()) < 0.36  # 4 of 13
    again = learner._order(np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, again)


def test_without_crowd_each_picture_is_drawn_once_an_epoch(tmp_path: Path) -> None:
    learner = task(tmp_path, [[FACE]] * 8)
    assert sorted(learner._order(np.random.default_rng(0))[:8].tolist()) == list(range(8))


def test_a_run_with_a_second_look_learns_and_its_batches_hold_the_decoys(tmp_path: Path) -> None:
    look = tmp_path / "look.jsonl"
    look.write_text(json.dumps({"file": "0.png", "decoys": [OTHER]}))
    learner = task(tmp_path, [[FACE]] * 4, second_look=look, mosaic=0)
    assert [len(picture.decoys) for picture in learner.pictures] == [1, 0, 0, 0]
    batch = next(iter(learner.batches(0)))
    assert len(batch) == 4
    assert torch.isfinite(learner.loss(batch))


def test_boxes_of_a_batch_are_led_by_their_canvas() -> None:
    example = Example(np.zeros((160, 160, 3), np.uint8), floats([FACE]), decoys=floats([OTHER]))
    canvases = [window(example, 640, 1.0, np.random.default_rng(seed)) for seed in range(2)]
    _, boxes, _, decoys = collate(canvases)
    assert boxes[:, 0].tolist() == decoys[:, 0].tolist() == [0, 1]


def test_a_frozen_stem_stays_as_it_was_and_the_rest_learns(tmp_path: Path) -> None:
    """Stopped in the middle and resumed, such a run ends where an undisturbed one ends."""
    scenes(tmp_path, [[FACE]] * 4)

    def settings(run: str, **schedule: object) -> DetectorSettings:
        about = Schedule.model_validate({"batch": 2, "epochs": 2, "rate": 1e-3, **schedule})
        return DetectorSettings(scenes=[tmp_path / "faces.jsonl"], run=tmp_path / run, side=96, weights=WEIGHTS,
                                frozen_stem=True, schedule=about)  # fmt: skip

    run_detector(settings("whole"))
    asked = iter(range(100))
    run_detector(settings("parts"), lambda: next(asked) >= 2)
    run_detector(settings("parts", resume=True))
    before, whole, parts = (
        {name.removeprefix("network."): tensor.float() for name, tensor in load_file(path).items()}
        for path in (WEIGHTS, *(tmp_path / run / "checkpoint.safetensors" for run in ("whole", "parts")))
    )
    for name, tensor in before.items():
        if name.startswith(("backbone.model0", "backbone.model1")):
            assert torch.equal(whole[name], tensor), name
        assert torch.equal(whole[name], parts[name]), name
    learnt = "bbox_head.multi_level_obj.0.conv1.weight"
    assert not torch.equal(whole[learnt], before[learnt])
