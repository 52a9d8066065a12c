"""The JPEG guard refuses by header what must not reach a decoder, and lets every honest frame pass."""

from __future__ import annotations

import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import jpeg
from common.errors import FrameRejectedError

PICTURE = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
GOOD = jpeg.encode(PICTURE)
LARGER = jpeg.encode(np.repeat(PICTURE, 2, axis=1))
GREY = cv2.imencode(".jpg", PICTURE[..., 0])[1].tobytes()


def claiming(width: int, height: int, *, marker: int = 0xC0, precision: int = 8, components: int = 3) -> bytes:
    """A few hundred bytes that claim any size: a real JPEG with its frame header rewritten."""
    data = bytearray(GOOD)
    at = data.index(b"\xff\xc0")
    data[at + 1] = marker
    struct.pack_into(">BHHB", data, at + 4, precision, height, width, components)
    return bytes(data)


def other_format(suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, PICTURE)[1].tobytes())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff" + bytes(5 << 20), "too_big"),
        (b"hello, this is no picture", "magic"),
        (other_format(".png"), "magic"),
        (other_format(".webp"), "magic"),
        (other_format(".tiff"), "magic"),
        (GOOD[:40], "header"),
        (b"\xff\xd8\xff\xda" + bytes(20), "header"),
        (claiming(30000, 30000), "dimensions"),
        (claiming(4096, 4097), "dimensions"),
        (claiming(8, 480), "dimensions"),
        (claiming(640, 480, components=4), "components"),
        (claiming(640, 480, marker=0xC9), "process"),
        (claiming(640, 480, precision=12), "process"),
        (GOOD[:-200], "truncated"),
    ],
)
def test_what_may_not_be_decoded_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(FrameRejectedError) as caught:
        jpeg.inspect(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_an_honest_frame_passes_and_its_size_is_read(flags: list[int]) -> None:
    data = cv2.imencode(".jpg", PICTURE, flags)[1].tobytes()
    assert jpeg.inspect(data) == jpeg.JpegInfo(64, 48, 3)


def test_a_grey_frame_passes_and_decodes_to_three_channels() -> None:
    data = cv2.imencode(".jpg", PICTURE[..., 0])[1].tobytes()
    assert jpeg.inspect(data).components == 1
    assert jpeg.decode(data).shape == (48, 64, 3)


def test_a_thumbnail_inside_the_header_does_not_mislead_the_guard() -> None:
    thumbnail = claiming(30000, 30000)
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert jpeg.inspect(GOOD[:2] + app1 + GOOD[2:]) == jpeg.JpegInfo(64, 48, 3)


@pytest.mark.parametrize(("reduce", "shape"), [(1, (48, 64, 3)), (2, (24, 32, 3)), (4, (12, 16, 3)), (8, (6, 8, 3))])
def test_decoding_at_a_smaller_scale_divides_the_sides(reduce: int, shape: tuple[int, int, int]) -> None:
    assert jpeg.decode(memoryview(GOOD), reduce).shape == shape


NATURAL = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (301, 407, 3), np.uint8), (0, 0), 2)


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
@pytest.mark.parametrize(("reduce", "scale"), [(1, ""), (2, "_2"), (4, "_4"), (8, "_8")])
def test_pixels_are_those_that_opencv_decodes(flags: list[int], reduce: int, scale: str) -> None:
    """Networks were taught on those, and one of the two may be asked where the other refuses."""
    data = cv2.imencode(".jpg", NATURAL, flags)[1]
    kind = "IMREAD_REDUCED_" if scale else "IMREAD_"
    colour = np.asarray(cv2.imdecode(data, getattr(cv2, f"{kind}COLOR{scale}")))
    grey = np.asarray(cv2.imdecode(data, getattr(cv2, f"{kind}GRAYSCALE{scale}")))
    assert np.array_equal(jpeg.decode(data.tobytes(), reduce), colour)
    assert np.array_equal(jpeg.decode(data.tobytes(), reduce, jpeg.inspect(data.tobytes())), colour)
    assert np.array_equal(jpeg.decode_grey(data.tobytes(), reduce), grey)


@pytest.mark.parametrize("reduce", [1, 2])
def test_a_frame_with_bytes_too_many_between_its_markers_is_decoded_all_the_same(reduce: int) -> None:
    tables = GOOD.index(b"\xff\xc4")
    odd = GOOD[:tables] + bytes(7) + GOOD[tables:]
    assert jpeg.inspect(odd) == jpeg.JpegInfo(64, 48, 3)
    assert np.array_equal(jpeg.decode(odd, reduce), jpeg.decode(GOOD, reduce))


def test_a_frame_whose_picture_ends_early_is_decoded_as_far_as_it_goes() -> None:
    data = cv2.imencode(".jpg", NATURAL)[1].tobytes()
    cut = data[: len(data) // 2] + b"\xff\xd9"
    top = jpeg.decode(data)[:80]
    assert np.array_equal(jpeg.decode(cut)[:80], top)


def test_what_no_decoder_makes_a_picture_of_is_refused() -> None:
    without_tables = GOOD.replace(b"\xff\xdb", b"\xff\xe5")
    assert jpeg.inspect(without_tables) == jpeg.JpegInfo(64, 48, 3)
    with pytest.raises(FrameRejectedError) as caught:
        jpeg.decode(without_tables)
    assert caught.value.reason == "decode"


def verdict(inspect: Callable[[bytes], jpeg.JpegInfo], data: bytes) -> jpeg.JpegInfo | str:
    try:
        return inspect(data)
    except FrameRejectedError as error:
        return error.reason


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([GOOD, LARGER, GREY]), st.integers(0, 900), st.binary(max_size=3))))
def test_an_inspector_that_knows_a_camera_s_header_judges_as_one_that_reads_it(
    pictures: list[tuple[bytes, int, bytes]],
) -> None:
    """Pictures of several sizes, whole, with bytes changed anywhere in the first 900, or cut off."""
    inspector = jpeg.Inspector()
    for good, at, change in pictures:
        changed = good[:at] + change + good[at + len(change) :]
        for data in (good, changed, good, good[:at], good[:-90], good + bytes(100)):
            assert verdict(inspector.inspect, data) == verdict(jpeg.inspect, data)


def test_a_known_header_does_not_let_a_file_pass_that_is_too_large() -> None:
    inspector = jpeg.Inspector()
    assert inspector.inspect(GOOD) == jpeg.JpegInfo(64, 48, 3)
    assert verdict(inspector.inspect, GOOD + bytes(5 << 20)) == "too_big"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, len(GOOD)))
def test_the_guard_survives_any_bytes(noise: bytes, cut: int) -> None:
    for data in (noise, b"\xff\xd8\xff" + noise, GOOD[:cut] + noise):
        try:
            info = jpeg.inspect(data)
        except FrameRejectedError:
            continue
        assert 16 <= info.width <= 4096
        assert 16 <= info.height <= 4096
