"""Sources by themselves: the multipart parser, the choice by URL, shares, and what a producer must not import."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, NotAVideoError, SourceEndedError, SourceUnreachableError
from common.siteplan import Camera, SitePlan
from producers.share import choose, share_of
from producers.sources.multipart import MultipartParser
from producers.sources.source import ArrivingSource, SourceSettings, open_source
from tests.video_material import jpegs

ROOT = Path(__file__).resolve().parents[2]


def body(parts: list[bytes], *, length: bool, newline: bytes = b"\r\n") -> bytes:
    heads = [b"Content-Length: %d%s" % (len(part), newline) if length else b"" for part in parts]
    whole = b"".join(
        b"--frame" + newline + b"Content-Type: image/jpeg" + newline + head + newline + part + newline
        for head, part in zip(heads, parts, strict=True)
    )
    return whole + b"--frame--"


@given(
    st.lists(st.binary(min_size=1, max_size=300).filter(lambda part: b"--frame" not in part), min_size=1, max_size=6),
    st.integers(1, 200),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_parts_come_out_whole_however_the_bytes_arrive(parts: list[bytes], step: int, newline: bytes) -> None:
    data = body(parts, length=True, newline=newline)
    parser = MultipartParser('"frame"', 1000)
    found = [part for at in range(0, len(data), step) for part in parser.feed(data[at : at + step])]
    assert found == parts


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("boundary", ["frame", "--frame"])
def test_parts_without_a_length_end_at_the_boundary(step: int, boundary: str) -> None:
    parts = [b"\xff\xd8 one \xff\xd9", b"\xff\xd8 two\r\n\r\n- \xff\xd9"]
    data = body(parts, length=False)
    parser = MultipartParser(boundary, 1000)
    assert [part for at in range(0, len(data), step) for part in parser.feed(data[at : at + step])] == parts


def test_the_parser_knows_what_a_part_lacks_at_least() -> None:
    parser = MultipartParser("frame", 1000)
    assert parser.missing == 1
    parser.feed(b"--frame\r\nContent-Length: 10\r\n\r\nabc")
    assert parser.missing == 7
    assert parser.feed(memoryview(b"defghij\r\n--fr")) == [b"abcdefghij"]
    assert parser.missing == 1
    parser.feed(b"ame\r\n\r\nno length")
    assert parser.missing == 1


@pytest.mark.parametrize("value", [b"+7", b"7x", b"seven", b""])
def test_a_length_that_is_no_number_is_none(value: bytes) -> None:
    data = b"--frame\r\nContent-Length: " + value + b"\r\n\r\nwhole\r\n--frame--"
    assert MultipartParser("frame", 1000).feed(data) == [b"whole"]


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 40_000,
        b"--frame\r\n" + b"X-Long: y\r\n" * 4000,
        b"--frame\r\nContent-Length: 5000\r\n\r\n",
        b"--frame\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        b"--frame\r\n\r\n" + b"z" * 5000,
    ],
    ids=["no boundary", "endless headers", "too long", "absurd length", "endless part"],
)
def test_memory_is_bounded_whatever_a_server_sends(data: bytes) -> None:
    with pytest.raises(NotAVideoError):
        MultipartParser("frame", 1000).feed(data)


@given(st.binary(max_size=4000))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parser = MultipartParser("frame", 1000)
    try:
        for at in range(0, len(data), 100):
            parser.feed(data[at : at + 100])
    except NotAVideoError:
        pass


def _camera(source: object, **more: object) -> Camera:
    return Camera.model_validate({"id": "cam", "source": str(source), **more})


def test_a_folder_gives_its_pictures_in_order_as_fast_as_asked_and_ends(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.full((48, 64, 3), 60 * number, np.uint8))
    source = open_source(_camera(tmp_path, fps=5), SourceSettings(fps=5, realtime=False))
    frames = [source.read() for _ in range(3)]
    assert [frame.jpeg for frame in frames if frame] == [
        (tmp_path / f"{number}.jpg").read_bytes() for number in range(3)
    ]
    times = [frame.captured_at for frame in frames if frame]
    assert [round(at - times[0], 3) for at in times] == [0, 0.2, 0.4]
    with pytest.raises(SourceEndedError):
        source.read()


def test_a_looped_single_picture_never_ends_and_is_decoded_where_it_is_too_wide(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.jpg"), np.full((90, 640, 3), 120, np.uint8))
    source = open_source(_camera(tmp_path / "wide.jpg"), SourceSettings(width=160, loop=True, realtime=False))
    frames = [source.read() for _ in range(5)]
    assert all(frame and frame.jpeg is None and frame.width == 160 for frame in frames)


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("/nowhere/video.mp4", SourceUnreachableError, "no file"),
        ("file:///nowhere/video.mp4", SourceUnreachableError, "no file"),
        ("webcam:front", SourceUnreachableError, "must be a number"),
        ("rtps://127.0.0.1/x", SourceUnreachableError, "did you mean 'rtsps'"),
        ("http://user:pass@127.0.0.1:1/x", SourceUnreachableError, "127.0.0.1:1 does not answer"),
        ("rtsp://user:pass@127.0.0.1:1/x", SourceUnreachableError, "no video stream"),
    ],
)
def test_a_source_that_is_not_there_is_named_without_its_password(source: str, error: type, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        open_source(_camera(source), SourceSettings(open_timeout_s=1, read_timeout_s=1))
    assert "pass" not in str(caught.value)


def test_a_server_that_takes_the_call_but_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"127.0.0.1:{mute.getsockname()[1]}"
        for source in (f"rtsp://{host}/x", f"http://{host}/x"):
            began = time.monotonic()
            with pytest.raises(SourceUnreachableError):
                open_source(_camera(source), SourceSettings(open_timeout_s=0.5, read_timeout_s=0.5))
            assert time.monotonic() - began < 5


def part(picture: bytes) -> bytes:
    return b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)


def ready(source: ArrivingSource, timeout_s: float) -> bool:
    return bool(select.select([source], [], [], timeout_s)[0])


def test_a_shared_camera_wakes_its_reader_when_the_whole_picture_is_there() -> None:
    one, *more = jpegs()
    buffer = memoryview(bytearray(1 << 18))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with ThreadPoolExecutor() as pool:
            opening = pool.submit(open_source, _camera(url), SourceSettings(fps=1000))
            camera, _ = server.accept()
            camera.sendall(
                b"HTTP/1.0 200\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n" + part(one)
            )
            source = opening.result(5)
        with camera, closing(source):
            assert isinstance(source, ArrivingSource)
            assert not source.shareable
            first = source.read()
            assert first is not None
            assert first.jpeg == one
            assert source.shareable
            for picture in more:
                whole = part(picture)
                camera.sendall(whole[:100])
                assert ready(source, 5)
                assert source.arrived(buffer).frames == ()
                camera.sendall(whole[100 : len(whole) // 2])
                assert not ready(source, 0.05)
                camera.sendall(whole[len(whole) // 2 :])
                assert ready(source, 5)
                arrivals = source.arrived(buffer)
                assert [frame.jpeg for frame in arrivals.frames] == [picture]
                assert arrivals.drained
            camera.sendall(part(one)[:-40])
            assert ready(source, 5)
            source.arrived(buffer)
            camera.sendall(part(one)[-40:])
            alone = source.read()
            assert alone is not None
            assert alone.jpeg == one
            camera.shutdown(socket.SHUT_RDWR)
            assert ready(source, 5)
            with pytest.raises(SourceUnreachableError, match="ended"):
                source.arrived(buffer)


@pytest.mark.parametrize("encoding", ["chunked", "identity"])
def test_a_camera_whose_bytes_are_wrapped_is_not_shared(encoding: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        opening = pool.submit(open_source, _camera(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        camera, _ = server.accept()
        with camera:
            data = part(jpegs()[0])
            head = "HTTP/1.1 200\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\nTransfer-Encoding: "
            size = b"%x\r\n" % len(data) if encoding == "chunked" else b""
            camera.sendall(head.encode() + encoding.encode() + b"\r\n\r\n" + size + data)
            with closing(opening.result(5)) as source:
                assert isinstance(source, ArrivingSource)
                assert source.read() is not None
                assert not source.shareable


def test_a_text_file_is_no_video(tmp_path: Path) -> None:
    for name in ("notes.txt", "notes.mp4", "notes.nfo", "list.m3u8"):
        (tmp_path / name).write_text("no video, only words\n" * 50)
        with pytest.raises(NotAVideoError, match=name):
            open_source(_camera(tmp_path / name))


@given(st.integers(1, 9))
def test_shares_are_disjoint_and_cover_all_cameras(count: int) -> None:
    plan = SitePlan(site="s", cameras=[Camera(id=f"cam-{number}", source="x") for number in range(60)])
    shares = [[camera.id for camera in choose(plan, [], f"{index}/{count}")] for index in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(camera.id for camera in plan.cameras)


def test_one_share_more_moves_cameras_only_to_the_new_share() -> None:
    for number in range(200):
        before, after = share_of(f"cam-{number}", 4), share_of(f"cam-{number}", 5)
        assert after in (before, 5)


def test_cameras_are_chosen_by_name_and_then_by_share() -> None:
    plan = SitePlan(site="s", cameras=[Camera(id=name, source="x") for name in ("a", "b", "c")])
    assert [camera.id for camera in choose(plan, ["c", "a"], "")] == ["a", "c"]
    assert [camera.id for camera in choose(plan, ["b"], "1/1")] == ["b"]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1/0", "x/2"])
def test_a_share_that_does_not_exist_is_refused(shard: str) -> None:
    with pytest.raises(ConfigError, match=r"producer\.shard"):
        choose(SitePlan(site="s"), [], shard)


def test_a_producer_loads_nothing_heavy() -> None:
    program = (
        "import producers.service, producers.sources.video, producers.sources.mjpeg, producers.sources.images, "
        "producers.sources.synthetic, sys; "
        "heavy = {'torch', 'torchvision', 'openvino', 'scipy', 'onnx', 'onnxruntime'} & sys.modules.keys(); "
        "sys.exit(', '.join(heavy) or None)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
