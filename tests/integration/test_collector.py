"""From what people said to the folder that training reads: real brokers, the real detector, real faces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from common.broker.feedback import Erasure, FeedbackDesk
from common.broker.frames.pictures import PictureStore
from common.broker.plans import PlanStore
from common.events import CameraInfo
from common.feedback import FeedbackEntry
from common.images import Picture, read_picture, resize
from common.jpeg import encode
from common.pictures import PictureRef
from common.siteplan import parse_plan
from tests.brokers import Brokers
from trainer.data.pictures import read_portraits
from trainer.samples.collector import Collector, Turn
from trainer.samples.rows import SampleRules
from trainer.samples.store import SampleStore
from trainer.service.collecting import FaceCheck

ROOT = Path(__file__).resolve().parents[2]
NOW_S = 4_000_000_000.0
FOREVER = SampleRules(days=100_000)


@pytest.fixture(scope="module")
def has_face() -> Iterator[FaceCheck]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield FaceCheck()
    torch.set_num_threads(threads)


def a_face(name: str = "hopper") -> Picture:
    """A portrait, scaled as infer leaves crops."""
    picture = read_picture(ROOT / "producers" / "portraits" / f"{name}.jpg")
    height, width = picture.shape[:2]
    return resize(picture, (round(128 * width / max(width, height)), round(128 * height / max(width, height))))


FACE = encode(a_face())
NO_FACE = encode(np.random.default_rng(1).integers(90, 160, (96, 96, 3)).astype(np.uint8))


class Station:
    """A site with one camera whose policy consents, a sample folder, and crops that infer has left."""

    def __init__(self, brokers: Brokers, folder: Path, has_face: FaceCheck) -> None:
        self.brokers = brokers
        self.pictures = PictureStore(brokers.frames, brokers.keys)
        self.desk = FeedbackDesk(brokers.state, brokers.keys)
        self.folder = folder
        self.consent(True)
        self.has_face = has_face
        self.restart()

    def restart(self) -> None:
        self.store = SampleStore(self.folder, FOREVER)
        self._collector = Collector(self.desk, self.pictures.get, self.store, self.has_face)

    def consent(self, given: bool) -> None:
        policy = {"id": "default", "training": {"consent": given}}
        raw = {"site": "west", "cameras": [{"id": "gate-1", "source": "x.mp4"}], "policies": [policy]}
        self.plan = parse_plan(raw, "plan")
        PlanStore(self.brokers.state, self.brokers.keys.prefix).publish(self.plan.to_bytes())

    def leave(self, seq: int, jpeg: bytes = FACE) -> str:
        ref = PictureRef("crop", "gate-1", 1_790_000_000_000, seq, 0)
        assert self.pictures.put(ref, jpeg, 60_000)
        return ref.uri

    def say(self, uri: str, label: str, by: str = "ana", *, final: bool = False) -> None:
        assert self.desk.record(FeedbackEntry(uri, label, by, final=final)).changed

    def turn(self) -> Turn:
        return self._collector.turn(NOW_S, lambda camera: self.plan.pictures_of(camera).crops)

    def trained_on(self) -> list[str]:
        return [one.label for one in read_portraits(self.folder)]


@pytest.fixture
def station(brokers: Brokers, tmp_path: Path, has_face: FaceCheck) -> Station:
    return Station(brokers, tmp_path / "samples", has_face)


def test_a_labelled_crop_becomes_a_sample(station: Station) -> None:
    station.say(station.leave(1), "no_mask")

    assert station.turn().added == 1

    (portrait,) = read_portraits(station.folder)
    assert (portrait.label, portrait.source) == ("no_mask", "gate-1")
    assert portrait.path.read_bytes() == FACE
    again = station.turn()
    assert (again.added, again.relabelled, again.left_out.total()) == (0, 0, 0)


def test_a_crop_that_shows_no_face_is_refused_and_counted(station: Station) -> None:
    station.say(station.leave(1, NO_FACE), "mask")
    station.say(station.leave(2, NO_FACE), "not_a_face")
    station.say(station.leave(3, b"\xff\xd8\xff" + bytes(60)), "mask")

    done = station.turn()

    assert dict(done.left_out) == {"no_face": 1, "header": 1}
    assert (done.added, station.trained_on()) == (1, [])


def test_where_nobody_consents_nothing_is_kept(station: Station) -> None:
    uri = station.leave(1)
    station.say(uri, "mask")
    station.consent(False)

    assert dict(station.turn().left_out) == {"no_consent": 1}
    assert list(station.folder.rglob("*.jpg")) == []


def test_a_crop_that_is_gone_is_counted(station: Station) -> None:
    uri = station.leave(1)
    station.say(uri, "mask")
    station.pictures.delete(PictureRef.of_uri(uri))

    assert dict(station.turn().left_out) == {"no_picture": 1}


def test_contradicting_labels_are_left_out_until_they_are_settled(station: Station) -> None:
    uri = station.leave(1)
    station.say(uri, "mask", "ana")
    station.say(uri, "no_mask", "ben")
    done = station.turn()
    assert (done.left_out["contested"], station.trained_on()) == (1, [])

    station.pictures.delete(PictureRef.of_uri(uri))
    station.say(uri, "no_mask", "chief", final=True)
    assert station.turn().relabelled == 1
    assert station.trained_on() == ["no_mask"]


def test_erased_samples_go_at_the_next_turn_and_stay_away(station: Station) -> None:
    first, second = station.leave(1), station.leave(2, encode(a_face("collins")))
    station.say(first, "mask")
    station.say(second, "no_mask")
    station.turn()

    station.desk.erase(Erasure(subject=first))

    assert station.turn().erased == 1
    assert station.trained_on() == ["no_mask"]
    assert len(list(station.folder.rglob("*.jpg"))) == 1
    station.restart()
    assert station.turn().added == 0


def test_what_is_said_after_an_erasure_counts_again(station: Station) -> None:
    uri = station.leave(1)
    station.say(uri, "mask")
    station.turn()
    station.desk.erase(Erasure(camera="gate-1"))
    station.turn()

    station.say(uri, "no_mask", "ben")
    station.turn()
    (station.folder / "collected.json").unlink()  # all orders are read again
    station.restart()

    assert station.turn().erased == 0
    assert station.trained_on() == ["no_mask"]


def test_a_collector_that_lost_its_folder_begins_anew(station: Station) -> None:
    station.say(station.leave(1), "mask")
    station.turn()
    shutil.rmtree(station.folder)
    station.restart()

    assert station.turn().added == 1


def test_a_camera_is_named_as_in_the_plan(station: Station) -> None:
    station.say(station.leave(1), "mask")

    (stored,) = station.desk.records()
    assert stored.record.camera == CameraInfo(id="gate-1", name="gate-1", site="west")
