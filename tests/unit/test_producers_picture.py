"""What is told of a picture, and how a camera's state follows from it over time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from common import jpeg
from common.errors import FrameRejectedError
from common.schema import CameraState
from producers import picture
from producers.picture import Reading
from producers.picture_state import PictureWatch, StateRules
from producers.sources.source import Image, SourceFrame

RULES = StateRules()
GOOD = Reading(b"", 110.0, 300.0)


def frame(image: Image) -> SourceFrame:
    return SourceFrame(0.0, image.shape[1], image.shape[0], image)


def scene(seed: int = 0) -> Image:
    wall = np.random.default_rng(3).integers(40, 200, (45, 80, 3), np.uint8)
    noise = np.random.default_rng(seed).normal(0, 2, (720, 1280, 3))
    return np.asarray(np.clip(cv2.resize(wall, (1280, 720), interpolation=cv2.INTER_NEAREST) + noise, 0, 255), np.uint8)


def look(image: Image) -> Reading:
    return picture.read(picture.thumbnail(frame(image)))


class Camera:
    """Feeds a watch ten pictures a second."""

    def __init__(self, rules: StateRules = RULES) -> None:
        self.now = 0.0
        self.watch = PictureWatch(rules, 0.0)
        self.history: list[CameraState] = []
        self._number = 0

    def send(self, seconds: float, reading: Reading = GOOD, *, same: bool = False) -> CameraState | None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self._number += not same
            self.watch.observe(Reading(str(self._number).encode(), reading.luma, reading.sharpness), self.now)
            self._note()
        return self.state

    def silence(self, seconds: float) -> CameraState | None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.watch.tick(self.now)
            self._note()
        return self.state

    @property
    def state(self) -> CameraState | None:
        return self.watch.condition.state if self.watch.condition else None

    def _note(self) -> None:
        if self.state is not None and (not self.history or self.history[-1] is not self.state):
            self.history.append(self.state)


def test_noise_alone_changes_the_fingerprint_of_a_still_scene() -> None:
    assert look(scene(1)).fingerprint != look(scene(2)).fingerprint
    assert look(scene(1)).fingerprint == look(scene(1)).fingerprint


def test_brightness_and_sharpness_are_those_of_the_picture() -> None:
    sharp, blurred = look(scene()), look(np.asarray(cv2.GaussianBlur(scene(), (0, 0), 14), np.uint8))
    dark = look(np.asarray(scene() // 16, np.uint8))
    assert blurred.sharpness < RULES.blurred_sharpness < sharp.sharpness
    assert dark.luma < RULES.dark_luma < sharp.luma


def test_a_jpeg_is_read_without_the_picture() -> None:
    data = cv2.imencode(".jpg", scene())[1].tobytes()
    grey = picture.thumbnail(SourceFrame(0.0, 1280, 720, jpeg=data))
    assert grey.shape == (180, 320)
    assert picture.read(grey).luma == pytest.approx(look(scene()).luma, abs=2)


def test_a_camera_is_online_with_its_first_picture() -> None:
    assert Camera().send(0.1) is CameraState.ONLINE


def test_silence_is_offline_after_three_seconds_and_one_stray_picture_does_not_end_it() -> None:
    camera = Camera()
    camera.send(1)
    assert camera.silence(2.8) is CameraState.ONLINE
    assert camera.silence(0.5) is CameraState.OFFLINE
    assert camera.send(0.1) is CameraState.OFFLINE
    assert camera.send(1.2) is CameraState.ONLINE


def test_a_silence_of_our_own_making_is_excused() -> None:
    camera = Camera()
    camera.send(1)
    camera.now += 10
    camera.watch.excuse(camera.now)
    assert camera.silence(1) is CameraState.ONLINE


def test_a_camera_that_never_answers_is_offline_after_the_limit_or_at_once_on_an_error() -> None:
    assert Camera().silence(3.5) is CameraState.OFFLINE
    camera = Camera()
    assert camera.watch.fail("refused", 0.1).cause == "refused"
    assert camera.state is CameraState.OFFLINE


def test_the_same_picture_is_frozen_after_eight_seconds_and_a_new_one_ends_it() -> None:
    camera = Camera()
    camera.send(1)
    assert camera.send(7.5, same=True) is CameraState.ONLINE
    assert camera.send(1, same=True) is CameraState.FROZEN
    assert camera.send(1.2) is CameraState.ONLINE


def test_a_merely_quiet_camera_is_never_frozen() -> None:
    camera = Camera()
    camera.send(60)
    assert camera.history == [CameraState.ONLINE]


@pytest.mark.parametrize(
    ("bad", "between", "state"),
    [
        (Reading(b"", 8, 300), Reading(b"", 17, 300), CameraState.DARK),
        (Reading(b"", 110, 6), Reading(b"", 110, 15), CameraState.BLURRED),
    ],
)
def test_a_bad_picture_counts_when_it_lasts_and_ends_only_when_clearly_better(
    bad: Reading, between: Reading, state: CameraState
) -> None:
    camera = Camera()
    camera.send(1)
    assert camera.send(2.5, bad) is CameraState.ONLINE
    assert camera.send(1, bad) is state
    assert camera.send(10, between) is state
    assert camera.send(1.2) is CameraState.ONLINE
    assert camera.send(10, between) is CameraState.ONLINE
    assert camera.history == [CameraState.ONLINE, state, CameraState.ONLINE]


def test_a_flickering_light_does_not_make_the_state_flutter() -> None:
    camera = Camera()
    for _ in range(30):
        camera.send(0.5, Reading(b"", 5, 300))
        camera.send(0.5)
    assert len(camera.history) == 1 or camera.history[1:] == [CameraState.ONLINE]


def test_a_black_picture_is_dark_rather_than_frozen() -> None:
    camera = Camera()
    camera.send(1)
    assert camera.send(20, Reading(b"", 0, 0), same=True) is CameraState.DARK


def test_a_healthy_camera_is_looked_at_every_two_seconds_and_a_doubtful_one_always() -> None:
    camera = Camera()
    assert camera.watch.due(0.0)
    camera.send(0.1)
    assert not camera.watch.due(camera.now + 1.9)
    assert camera.watch.due(camera.now + 2.0)
    camera.send(0.1, same=True)
    assert camera.watch.due(camera.now), "it may be about to freeze"
    camera.send(0.1)
    assert not camera.watch.due(camera.now)
    camera.send(0.1, Reading(b"", 8, 300))
    assert camera.watch.due(camera.now), "it may be about to be dark"
    camera.send(4, Reading(b"", 8, 300))
    camera.send(0.5)
    assert camera.state is CameraState.DARK
    assert camera.watch.due(camera.now), "it may be about to recover"
    camera.send(1.0)
    assert not camera.watch.due(camera.now)
    camera.watch.fail("cut off", camera.now)
    assert camera.watch.due(camera.now)


def looks(sizes: list[int], every_s: float = 0.2) -> list[float]:
    """When pictures of a healthy camera are looked at that are so large as it encoded them."""
    watch = PictureWatch(RULES, 0.0)
    looked: list[float] = []
    for number, size in enumerate(sizes):
        now = round(number * every_s, 1)
        if watch.due(now, size):
            looked.append(now)
            watch.observe(Reading(str(number).encode(), 110.0, 300.0), now)
    return looked


def test_while_sizes_say_nothing_new_a_healthy_camera_is_looked_at_every_eight_seconds() -> None:
    quiet = [50_000 + 40 * (number % 7) for number in range(100)]
    assert looks(quiet) == [0.0, 8.0, 16.0]
    assert looks(quiet[:11] + [70_000 + size for size in quiet[11:]]) == [0.0, 8.0, 16.0], "a crowd is no trouble"


@pytest.mark.parametrize("scale", [0.7, 0.3])
def test_smaller_pictures_may_be_dark_or_blurred_and_are_looked_at_as_soon_as_that_may_be(scale: float) -> None:
    sizes = [50_000 + 40 * (number % 7) for number in range(40)]
    assert looks(sizes[:5] + [int(scale * size) for size in sizes[5:]])[:2] == [0.0, 2.0]
    assert looks(sizes[:12] + [int(scale * size) for size in sizes[12:]])[:2] == [0.0, 2.4]
    # Larger ones in between do not hide it.
    assert looks(sizes[:5] + [90_000, 90_040] + [int(scale * 90_000) + size % 100 for size in sizes[7:]])[1] == 2.0


def test_pictures_of_one_size_may_be_one_picture() -> None:
    assert looks([50_000, 50_040, 50_080, *[50_120] * 30]) == [0.0, 2.0, 4.0, 6.0]


def test_brightness_alone_is_decoded_as_it_is_in_colour() -> None:
    data = cv2.imencode(".jpg", scene())[1].tobytes()
    colours = np.asarray(cv2.cvtColor(jpeg.decode(data, 4), cv2.COLOR_BGR2GRAY), np.int16)
    grey = jpeg.decode_grey(data, 4)
    assert grey.shape == (180, 320)
    assert np.abs(colours - grey).max() <= 3
    with pytest.raises(FrameRejectedError):
        jpeg.decode_grey(b"no picture")


def test_a_large_picture_is_scaled_to_the_wanted_width_and_a_small_one_is_left_alone() -> None:
    assert picture.fit(scene(), 640).shape == (360, 640, 3)
    small = scene()[:100, :100]
    assert picture.fit(small, 640) is small
