"""The synthetic camera as a source of frames."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from common.errors import SourceUnreachableError
from producers.scene import SceneCamera
from producers.sources.source import SourceSettings
from producers.sources.synthetic import SyntheticAddress, SyntheticSource


def test_an_address_says_which_scene_is_shown() -> None:
    address = SyntheticAddress.parse("gates?seed=3&epoch=1800000000.5&width=640&height=480")
    assert address == SyntheticAddress("gates", 3, 1_800_000_000.5, 0.0, 640, 480)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gates?sed=3", "unknown key 'sed'; did you mean 'seed'?"),
        ("gates?seed=three", "'three' is no number"),
        ("gates?width=5", "size must be"),
        ("gates?width=400&height=400", "4:3"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(address: str, words: str) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        SyntheticSource(address, SourceSettings())
    assert words in str(caught.value)


def test_a_frame_shows_the_scene_at_its_capture_time_minus_the_epoch() -> None:
    source = SyntheticSource(f"gates?seed=2&epoch={time.time() - 6:.3f}", SourceSettings(fps=20))
    frame = source.read()
    assert frame is not None
    assert frame.image is not None
    assert source.address.epoch is not None
    shown = SceneCamera("gates", 2).frame(frame.captured_at - source.address.epoch)
    assert np.array_equal(frame.image, shown)
    assert 5.9 < frame.captured_at - source.address.epoch < 8


def test_a_live_source_keeps_its_pace() -> None:
    source = SyntheticSource("gates", SourceSettings(fps=20))
    frames = [source.read() for _ in range(8)]
    times = [frame.captured_at for frame in frames if frame is not None]
    assert len(times) == 8
    assert times[-1] - times[0] >= 7 / 20 - 0.001
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert time.time() >= times[-1]


def test_a_source_that_is_read_freely_advances_by_its_frame_rate() -> None:
    source = SyntheticSource("gates?start=5", SourceSettings(fps=4, realtime=False))
    frames = [frame for frame in (source.read() for _ in range(9)) if frame is not None]
    assert frames[-1].captured_at - frames[0].captured_at == pytest.approx(2.0)
    assert not source.live


def test_a_narrower_camera_gets_a_smaller_scene() -> None:
    frame = SyntheticSource("gates", SourceSettings(width=640)).read()
    assert frame is not None
    assert (frame.width, frame.height) == (640, 360)
