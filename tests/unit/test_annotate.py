"""Drawing on frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import ConfigError, FrameRejectedError
from common.schema import FaceReading
from workers.annotate import COLOURS, Mark, annotate
from workers.recording import VideoFile, read_picture, write_picture

GREY = np.full((540, 960, 3), 128, np.uint8)


@pytest.mark.parametrize("verdict", list(COLOURS))
def test_a_face_is_framed_in_the_colour_of_its_verdict(verdict: str) -> None:
    drawn = annotate(GREY, [Mark((300, 200, 400, 320), verdict, 0.9)])  # type: ignore[arg-type]
    assert tuple(int(value) for value in drawn[260, 300]) == COLOURS[verdict]  # type: ignore[index]
    assert tuple(drawn[260, 350]) == (128, 128, 128)


def test_the_picture_itself_is_left_as_it_is() -> None:
    before = GREY.copy()
    annotate(GREY, [Mark((300, 200, 400, 320), "mask")], "gate", "12:00:00")
    assert np.array_equal(GREY, before)


def test_a_running_violation_is_drawn_bolder() -> None:
    usual = annotate(GREY, [Mark((300, 200, 400, 320), "no_mask")])
    bold = annotate(GREY, [Mark((300, 200, 400, 320), "no_mask", violation=True)])
    assert (bold != 128).sum() > (usual != 128).sum()
    assert tuple(bold[260, 350]) != (128, 128, 128)


@pytest.mark.parametrize("size", [(320, 180), (720, 1280), (4096, 2160)])
@pytest.mark.parametrize("box", [(-40, -30, 60, 70), (0, 0, 5, 5), (5000, 5000, 5100, 5100), (250, 100, 4000, 900)])
def test_boxes_at_and_beyond_the_edges_are_drawn_without_harm(
    size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    drawn = annotate(picture, [Mark(box, "incorrect", 1.0, violation=True)], "a camera with a long name", "12:00:00")
    assert drawn.shape == picture.shape
    assert drawn.any()


def test_a_reading_from_the_wire_becomes_a_mark_in_pixels() -> None:
    face = FaceReading(box=(0.25, 0.5, 0.5, 0.75), score=0.9, probabilities=(0.1, 0.2, 0.7))
    mark = Mark.of_reading(face, (960, 540))
    assert mark.box == (240, 270, 480, 405)
    assert mark.words == "incorrect 70%"


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_keeps_the_time_between_its_pictures(tmp_path: Path, suffix: str) -> None:
    file = VideoFile(tmp_path / f"out{suffix}", 10.0)
    for at in (100.0, 100.1, 100.5, 101.0):
        file.add(GREY, at)
    file.close()
    capture = cv2.VideoCapture(str(tmp_path / f"out{suffix}"))
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == 11


def test_a_video_of_an_unknown_kind_or_place_is_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.mp4 or \.avi"):
        VideoFile(tmp_path / "out.mkv", 10.0)
    with pytest.raises(ConfigError, match="there is no folder"):
        VideoFile(tmp_path / "missing" / "out.mp4", 10.0)


def test_pictures_survive_a_round_trip_through_a_new_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "new" / "one.png", GREY)
    assert np.array_equal(read_picture(tmp_path / "new" / "one.png"), GREY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"words", "decode"), (b"\xff\xd8\xff\xe0" + b"\0" * 50, "decode"), (None, "empty")],
)
def test_what_is_no_picture_is_refused_with_a_reason(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "one.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FrameRejectedError) as caught:
        read_picture(path)
    assert caught.value.reason == reason
