"""The folder of labelled crops: what may enter, what training reads of it, and that erased means gone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from common.errors import SampleRefusedError, TrainingError
from common.images import resize
from common.jpeg import encode
from tests.waiting import until
from trainer.data.pictures import read_portraits, read_scenes
from trainer.samples.cropcheck import CheckedCrop, check_crop
from trainer.samples.rows import SampleLabel, SampleRules
from trainer.samples.store import SampleStore

DAY_S = 86_400.0
NOW_S = 1_790_000_000.0
ROOT = Path(__file__).resolve().parents[2]


def scenery(seed: int, side: int = 96) -> np.ndarray:
    """A picture with large soft shapes: two seeds look nothing alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return resize(coarse, (side, side))


def a_crop(seed: int, quality: int = 90) -> CheckedCrop:
    return check_crop(encode(scenery(seed), quality), "mask", SampleRules(), lambda _: True)


def a_label(subject: str, label: str | None = "mask", **changes: object) -> SampleLabel:
    values: dict[str, object] = {"subject": subject, "label": label, "camera": "gate-1", "by": "ana", "at": NOW_S}
    return SampleLabel.model_validate(values | changes)


def everything_in(folder: Path) -> bytes:
    """All bytes of all files, by which one sees whether something is left."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def pictures_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def test_training_reads_a_sample_as_any_other_crop(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    assert store.put(a_label("one", "incorrect"), a_crop(1))
    assert store.put(a_label("two", "not_a_face"), a_crop(2))

    (portrait,) = read_portraits(tmp_path)
    assert (portrait.label, portrait.source) == ("incorrect", "gate-1")
    assert portrait.path.read_bytes() == a_crop(1).jpeg
    (scene,) = read_scenes(tmp_path / "not_a_face.jsonl")
    assert scene.faces == []


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.put(a_label("one"), a_crop(1))
    before = (tmp_path / "samples.jsonl").stat().st_mtime_ns

    assert not store.put(a_label("one"), a_crop(1))
    assert (tmp_path / "samples.jsonl").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("jpeg", "reason"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "magic"),
        (encode(scenery(1))[:-40], "truncated"),
        (encode(scenery(1, 20)), "dimensions"),
        (encode(scenery(1, 1100)), "dimensions"),
        (bytes(300 << 10), "too_big"),
    ],
)
def test_what_is_no_small_picture_is_refused(jpeg: bytes, reason: str) -> None:
    with pytest.raises(SampleRefusedError) as caught:
        check_crop(jpeg, "mask", SampleRules(), lambda _: True)
    assert caught.value.reason == reason


def test_a_crop_without_a_face_is_refused_unless_that_is_what_was_said() -> None:
    jpeg = encode(scenery(1))
    with pytest.raises(SampleRefusedError, match="no face") as caught:
        check_crop(jpeg, "mask", SampleRules(), lambda _: False)
    assert caught.value.reason == "no_face"
    assert check_crop(jpeg, "not_a_face", SampleRules(), lambda _: False).size == (96, 96)


def test_contested_samples_wait_until_they_are_settled(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.put(a_label("one"), a_crop(1))

    assert store.relabel(a_label("one", None, contested=True))
    assert read_portraits(tmp_path) == []
    assert store.relabel(a_label("one", "no_mask"))
    assert [one.label for one in read_portraits(tmp_path)] == ["no_mask"]


def test_the_same_picture_under_two_labels_is_not_trained_on(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.put(a_label("one", "mask"), a_crop(1))
    store.put(a_label("two", "no_mask"), a_crop(1))
    assert read_portraits(tmp_path) == []

    store.erase(lambda one: one.subject == "two")
    assert [one.label for one in read_portraits(tmp_path)] == ["mask"]
    assert len(pictures_in(tmp_path)) == 1


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    store = SampleStore(tmp_path, SampleRules(val=0.5))
    for seed in range(40):
        store.put(a_label(f"{seed}a"), a_crop(seed, 95))
        store.put(a_label(f"{seed}b"), a_crop(seed, 60))

    portraits = read_portraits(tmp_path)  # refuses a group on both sides
    assert len(portraits) == 80
    assert len({one.group for one in portraits}) == 40
    assert {one.split for one in portraits} == {"train", "val"}


def test_two_groups_that_turn_out_to_be_one_go_to_training(tmp_path: Path) -> None:
    one, other = scenery(1).astype(np.int32), scenery(2).astype(np.int32)
    steps = [encode(((one * (20 - step) + other * step) // 20).astype(np.uint8), 95) for step in range(21)]
    crops = [check_crop(jpeg, "mask", SampleRules(), lambda _: True) for jpeg in steps]
    store = SampleStore(tmp_path, SampleRules(val=0.5))
    store.put(a_label("subject 0"), crops[0])
    first = store.samples()[0]
    number = 0
    while True:  # an end that lies on the other side
        number += 1
        store.put(a_label(f"end {number}"), crops[-1])
        last = next(sample for sample in store.samples() if sample.subject == f"end {number}")
        if last.split != first.split:
            break
        store.erase(lambda sample: sample.subject.startswith("end"))
    for step, crop in enumerate(crops[1:-1], 1):
        store.put(a_label(f"step {step}"), crop)

    assert {(sample.group, sample.split) for sample in store.samples()} == {(store.samples()[0].group, "train")}


def test_the_oldest_go_first(tmp_path: Path) -> None:
    store = SampleStore(tmp_path, SampleRules(days=30, most=3))
    for number in range(5):
        store.put(a_label(f"s{number}", at=NOW_S + number), a_crop(number))
    store.put(a_label("other", "no_mask", at=NOW_S), a_crop(10))
    store.put(a_label("old", "incorrect", at=NOW_S - 31 * DAY_S), a_crop(11))

    assert store.retain(NOW_S) == 3
    assert {one.subject for one in store.samples()} == {"s2", "s3", "s4", "other"}
    assert len(pictures_in(tmp_path)) == 4
    assert store.retain(NOW_S) == 0


def test_erased_means_that_no_byte_of_it_is_left(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    for number in range(6):
        camera = "gate-1" if number % 2 else "gate-2"
        store.put(a_label(f"episode-{number}", camera=camera, by=f"person-{number}"), a_crop(number))
    gone = a_crop(1)

    assert store.erase(lambda one: one.camera == "gate-1") == 3

    left = everything_in(tmp_path)
    for trace in (b"gate-1", b"episode-1", b"person-1", gone.sha.encode(), gone.jpeg[-90:-30]):
        assert trace not in left
    assert b"gate-2" in left
    assert len(pictures_in(tmp_path)) == 3


def test_a_picture_that_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SampleStore(tmp_path)
    store.put(a_label("one"), a_crop(1))

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(TrainingError, match="Read-only file system"):
            store.erase(lambda one: one.subject == "one")
    SampleStore(tmp_path)
    assert pictures_in(tmp_path) == []


def test_a_damaged_list_is_left_as_it_is(tmp_path: Path) -> None:
    SampleStore(tmp_path).put(a_label("one"), a_crop(1))
    (tmp_path / "samples.jsonl").write_text("{broken\n")

    with pytest.raises(TrainingError, match="damaged"):
        SampleStore(tmp_path)
    assert len(pictures_in(tmp_path)) == 1


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be used for samples"):
        SampleStore(tmp_path / "file")


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    def write(start: int) -> None:
        store = SampleStore(tmp_path)
        for number in range(start, start + 10):
            store.put(a_label(f"s{number}"), a_crop(number))

    threads = [threading.Thread(target=write, args=(10 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(SampleStore(tmp_path).samples()) == 30
    assert len(read_portraits(tmp_path)) == 30


WRITER = """
import sys
from pathlib import Path
from tests.unit.test_samples import a_crop, a_label
from trainer.samples.store import SampleStore

store = SampleStore(Path(sys.argv[1]))
number = 0
while True:
    store.put(a_label(f"s{number % 12}", ("mask", "no_mask")[number // 12 % 2], at=float(number)), a_crop(number % 17))
    if number % 5 == 4:
        store.erase(lambda one: one.subject == f"s{number % 12}")
    number += 1
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_samples(tmp_path: Path) -> None:
    """Each listed sample has its picture, each picture its sample, and training can read the folder as it lies."""
    folder = tmp_path / "samples"
    random = np.random.default_rng(5)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(int(random.integers(3, 25))):
            writer.stdout.readline()
        threading.Event().wait(float(random.uniform(0, 0.02)))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        read_portraits(folder)

        samples = SampleStore(folder).samples()
        assert {folder / one.file for one in samples} == set(pictures_in(folder))
        listed = [json.loads(line)["file"] for line in (folder / "crops.jsonl").read_text().splitlines()]
        assert all((folder / name).is_file() for name in listed)
        assert until(lambda: not list(folder.rglob(".*.json*.*")), 1)
