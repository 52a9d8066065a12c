"""Data as people have it: a folder per class, VOC, YOLO, COCO; near-duplicates; one packed file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import TrainingError
from common.images import resize
from common.jpeg import encode
from trainer.cli import app
from trainer.data.classes import label_of, parse_mapping
from trainer.data.folders import FolderOptions, portraits_of, read_folders
from trainer.data.packing import PackLimits, pack_data
from trainer.data.pictures import Skips, load_picture, read_portraits, read_scenes
from trainer.data.similar import difference_hash, group_similar
from trainer.data.split import split_by_group


def scenery(seed: int, side: int = 96) -> np.ndarray:
    """A picture with large soft shapes: two seeds look nothing alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return resize(coarse, (side, side))


def save(path: Path, picture: np.ndarray, quality: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture, quality))
    return path


def class_folders(root: Path, count: int = 8, names: tuple[str, ...] = ("with_mask", "without_mask")) -> Path:
    for number, name in enumerate(names):
        for index in range(count):
            save(root / name / f"{index}.jpg", scenery(1000 * number + index))
    return root


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("with_mask", "mask"), ("With Mask", "mask"), ("without_mask", "no_mask"),
        ("mask_weared_incorrect", "incorrect"),
        ("no-mask", "no_mask"), ("incorrect_mask", "incorrect"), ("mask", "mask"),
    ],
)  # fmt: skip
def test_classes_are_understood_under_their_common_names(name: str, label: str) -> None:
    assert label_of(name, {}, "x") == label


def test_what_the_operator_says_of_a_class_goes_before_what_we_know() -> None:
    mapping = parse_mapping(["face=mask", "a=b=incorrect", "dog=ignore"])
    assert [label_of(name, mapping, "x") for name in ("face", "a=b", "dog")] == ["mask", "incorrect", None]
    with pytest.raises(TrainingError, match="write NAME=LABEL"):
        parse_mapping(["face=masc"])


def test_a_typo_in_a_class_folder_names_the_nearest_class(tmp_path: Path) -> None:
    class_folders(tmp_path, names=("with_mask", "witout_mask"))
    with pytest.raises(TrainingError, match=r"'witout_mask' is no class of ours; did you mean 'without_mask'\?"):
        read_folders(tmp_path, FolderOptions({}), Skips())


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="only 'mask'"):
        read_folders(class_folders(tmp_path, names=("with_mask",)), FolderOptions({}), Skips())


def test_folders_are_split_by_group_and_what_cannot_be_read_is_listed(tmp_path: Path) -> None:
    """The same picture, saved again smaller and worse, stays on the same side; empty and broken files are counted."""
    class_folders(tmp_path, 10)
    save(tmp_path / "with_mask" / "again.jpg", resize(scenery(3), (64, 64)), 60)
    (tmp_path / "with_mask" / "empty.jpg").touch()
    (tmp_path / "with_mask" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "with_mask" / "notes.txt").write_text("hello")
    skips = Skips()
    portraits = portraits_of(tmp_path, 0.3, skips)
    assert len(portraits) == 21
    assert sorted(Path(line.split(":")[0]).name for line in skips.listed) == ["broken.png", "empty.jpg", "notes.txt"]
    by_file = {portrait.file: portrait for portrait in portraits}
    assert by_file["with_mask/again.jpg"].group == by_file["with_mask/3.jpg"].group
    assert len({portrait.group for portrait in portraits}) == 20
    assert {portrait.split for portrait in portraits} == {"train", "val"}
    assert portraits == portraits_of(tmp_path, 0.3, Skips())


def test_a_split_on_disk_that_leaks_is_refused_with_the_files_and_the_way_out(tmp_path: Path) -> None:
    for side in ("train", "val"):
        class_folders(tmp_path / side, 3)
    with pytest.raises(TrainingError, match=r"train: train/with_mask/0\.jpg.*val: val/with_mask/0\.jpg.*convert"):
        read_folders(tmp_path, FolderOptions({}), Skips())
    result = CliRunner().invoke(
        app, ["convert", str(tmp_path), "--from", "folders", "--out", str(tmp_path / "crops.jsonl"), "--val", "0.4"]
    )
    assert result.exit_code == 0, result.output
    portraits = read_portraits(tmp_path)
    assert len(portraits) == 12
    assert load_picture(portraits[0].path, Skips()) is not None


def test_an_index_that_leaks_names_the_files(tmp_path: Path) -> None:
    lines = [
        {"file": f"{side}.jpg", "label": "mask", "source": "s", "group": 7, "split": side} for side in ("train", "val")
    ]
    (tmp_path / "crops.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(TrainingError, match=r"group 7 .*train: train\.jpg, val: val\.jpg"):
        read_portraits(tmp_path / "crops.jsonl")


def test_similar_pictures_share_a_group_and_others_do_not() -> None:
    darker = (scenery(1).astype(np.float32) * 0.8).astype(np.uint8)
    hashes = np.stack([difference_hash(picture) for picture in (scenery(1), scenery(2), darker, scenery(3))])
    assert group_similar(hashes).tolist() == [0, 1, 0, 3]
    assert group_similar(np.zeros((0, 4), np.uint64)).tolist() == []


def test_a_chain_of_neighbours_is_one_group() -> None:
    chain = np.array([[0, 0, 0, 0], [2**20 - 1, 0, 0, 0], [2**40 - 1, 0, 0, 0]], np.uint64)
    assert group_similar(chain, max_distance=20).tolist() == [0, 0, 0]
    assert group_similar(chain, max_distance=19).tolist() == [0, 1, 2]


def test_every_kind_comes_to_both_sides_and_groups_stay_whole() -> None:
    groups = [index // 2 for index in range(60)]
    strata = ["mask"] * 52 + ["incorrect"] * 8
    sides = split_by_group(groups, strata, 0.15, 1)
    assert all(sides[index] == sides[index + 1] for index in range(0, 60, 2))
    assert "val" in sides[52:]
    assert "train" in sides[52:]
    assert sides == split_by_group(groups, strata, 0.15, 1)
    assert sides != split_by_group(groups, strata, 0.15, 2)
    assert set(split_by_group(groups, strata, 0, 1)) == {"train"}


def voc(root: Path) -> Path:
    for index in range(4):
        save(root / "images" / f"p{index}.jpg", scenery(index))
        boxes = [("with_mask", (10, 10, 40, 40)), ("helmet", (0, 0, 9, 9)), ("without_mask", (80, 80, 120, 130))]
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin><xmax>{b[2]}</xmax>"
            f"<ymax>{b[3]}</ymax></bndbox></object>"
            for name, b in boxes
        )
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"p{index}.xml").write_text(
            f"<annotation><filename>p{index}.jpg</filename>{objects}</annotation>"
        )
    return root


def yolo(root: Path) -> Path:
    for index in range(4):
        save(root / "images" / f"p{index}.jpg", scenery(index))
        (root / "labels").mkdir(exist_ok=True)
        lines = [
            f"0 {25 / 96} {25 / 96} {30 / 96} {30 / 96}",
            f"1 {100 / 96} {105 / 96} {40 / 96} {50 / 96}",
            "2 .1 .1 .1 .1",
        ]
        (root / "labels" / f"p{index}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: [with_mask, without_mask, helmet]\n")
    return root


def coco(root: Path) -> Path:
    names = ["with_mask", "without_mask", "helmet"]
    boxes = [[10, 10, 30, 30], [80, 80, 40, 50], [0, 0, 9, 9]]
    about = {
        "categories": [{"id": index, "name": name} for index, name in enumerate(names)],
        "images": [{"id": index, "file_name": f"p{index}.jpg"} for index in range(4)],
        "annotations": [
            {"image_id": image, "category_id": kind, "bbox": box}
            for image in range(4)
            for kind, box in enumerate(boxes)
        ],
    }
    for index in range(4):
        save(root / "images" / f"p{index}.jpg", scenery(index))
    (root / "instances.json").write_text(json.dumps(about))
    return root


@pytest.mark.parametrize("form", [voc, yolo, coco])
def test_boxes_of_other_tools_become_scenes_clipped_and_mapped(tmp_path: Path, form: object) -> None:
    """The box that hangs over the edge is clipped and listed; the class that is no face is ignored as told."""
    source = form(tmp_path / "set")  # type: ignore[operator]
    out = tmp_path / "out" / "faces.jsonl"
    arguments = ["convert", str(source), "--from", form.__name__, "--out", str(out)]  # type: ignore[attr-defined]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "'helmet' is no class of ours" in refused.output
    assert not out.exists()
    result = CliRunner().invoke(app, [*arguments, "--map", "helmet=ignore", "--val", "0.25"])
    assert result.exit_code == 0, result.output
    scenes = read_scenes(out)
    assert len(scenes) == 4
    assert {scene.split for scene in scenes} == {"train", "val"}
    assert [face.label for face in scenes[0].faces] == ["mask", "no_mask"]
    np.testing.assert_allclose(scenes[0].boxes, [[10, 10, 40, 40], [80, 80, 96, 96]], atol=0.02)
    assert "clipped" in result.output
    assert load_picture(scenes[0].path, Skips()) is not None


def test_an_annotation_without_its_picture_or_with_entities_is_refused(tmp_path: Path) -> None:
    source = voc(tmp_path / "set")
    (source / "images" / "p2.jpg").unlink()
    result = CliRunner().invoke(app, ["convert", str(source), "--from", "voc", "--out", str(tmp_path / "o.jsonl")])
    assert result.exit_code == 1
    (source / "annotations" / "p0.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    result = CliRunner().invoke(app, ["convert", str(source), "--from", "voc", "--out", str(tmp_path / "o.jsonl")])
    assert "entity declaration" in result.output


def test_a_pack_gives_back_what_went_in(tmp_path: Path) -> None:
    """Scenes and one-person pictures, boxes scaled with the pictures; the same data makes the same bytes."""
    faces = [{"box": [100, 50, 500, 300], "label": "mask"}]
    lines = [{"file": f"{n}.jpg", "source": "s", "group": n, "split": "train", "faces": faces} for n in range(3)]
    for index in range(2):
        save(tmp_path / f"{index}.jpg", scenery(index, 800))
    (tmp_path / "faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    folders = class_folders(tmp_path / "folders", 4)
    packs = [tmp_path / "one.pack", tmp_path / "two.pack"]
    for pack in packs:
        report = pack_data(([tmp_path], [folders]), pack, PackLimits(long_side_px=400), 0.25, lambda _: None)
    assert packs[0].read_bytes() == packs[1].read_bytes()
    assert (report.pictures, report.faces, report.bytes) == (10, 10, packs[0].stat().st_size)
    assert len(report.skipped) == 1
    scenes, portraits = read_scenes(packs[0]), read_portraits(packs[0])
    np.testing.assert_allclose(scenes[0].boxes, [[50, 25, 250, 150]])
    picture = load_picture(scenes[0].path, Skips())
    assert picture is not None
    assert picture.shape == (400, 400, 3)
    assert np.abs(picture.astype(int) - resize(scenery(0, 800), (400, 400))).mean() < 3
    assert len(portraits) == 8
    assert {portrait.split for portrait in portraits} == {"train", "val"}


def test_a_pack_that_cannot_be_small_enough_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    folders, out = class_folders(tmp_path / "folders", 4), tmp_path / "a.pack"
    out.write_bytes(b"old")
    with pytest.raises(TrainingError, match="more than"):
        pack_data(([], [folders]), out, PackLimits(max_bytes=2000), 0.15, lambda _: None)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    with pytest.raises(TrainingError, match=r"a\.pack"):
        read_scenes(out)
