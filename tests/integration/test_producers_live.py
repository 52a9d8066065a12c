"""Live cameras as producers meet them: real RTSP and motion JPEG, cut, stalled, frozen, darkened and brought back."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from common import jpeg
from common.broker.embedded.brokers import EmbeddedPair
from common.siteplan import Camera
from tests.producer_run import ProducerRun
from tests.proxy import Proxy, Toxics
from tests.video_http import HttpServer
from tests.video_material import SIZE, jpegs
from tests.video_server import RtspServer
from tests.waiting import until


def _camera(source: str, camera_id: str = "cam", **more: object) -> Camera:
    return Camera.model_validate({"id": camera_id, "source": source, "fps": 10, **more})


def _seqs_are_contiguous(run: ProducerRun, camera: str = "cam") -> bool:
    return [sent.header.seq for sent in run.frames(camera)] == list(range(len(run.frames(camera))))


def test_rtsp_frames_arrive_and_a_cut_camera_comes_back(broker_pair: EmbeddedPair) -> None:
    with RtspServer() as server, ProducerRun(broker_pair, [_camera(server.url)]) as run:
        until(lambda: len(run.frames()) >= 5 and run.state() == "online", 10)
        picture = jpeg.decode(run.frames()[-1].jpeg)
        assert (run.frames()[-1].header.width, run.frames()[-1].header.height) == SIZE
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        assert run.page("/readyz") == "ok\n"
        server.cut()
        until(lambda: run.state() == "offline", 5)
        assert "broke off" in run.marks()[-1].cause or "no picture" in run.marks()[-1].cause
        assert run.metric("maskwatch_camera_state", camera="cam", state="offline") == 1
        before = len(run.frames())
        server.resume()
        until(lambda: run.state() == "online" and len(run.frames()) > before + 3, 10)
        assert run.metric("maskwatch_camera_reconnects_total", camera="cam") >= 1
        assert _seqs_are_contiguous(run)
        assert len({sent.header.session for sent in run.frames()}) == 1


def test_a_silent_rtsp_camera_is_offline_and_is_called_again(broker_pair: EmbeddedPair) -> None:
    with RtspServer() as server, ProducerRun(broker_pair, [_camera(server.url)]) as run:
        until(lambda: run.state() == "online", 10)
        server.stall()
        until(lambda: run.state() == "offline", 5)
        until(lambda: server.connections >= 2, 10)
        server.resume()
        until(lambda: run.state() == "online", 10)


def test_frozen_and_dark_pictures_are_told_apart_from_good_ones(broker_pair: EmbeddedPair) -> None:
    with RtspServer() as server, ProducerRun(broker_pair, [_camera(server.url)]) as run:
        until(lambda: run.state() == "online", 10)
        server.freeze()
        until(lambda: run.state() == "frozen", 5)
        server.resume()
        until(lambda: run.state() == "online", 5)
        server.darken()
        until(lambda: run.state() == "dark", 5)
        server.resume()
        until(lambda: run.state() == "online", 5)
        assert server.connections == 1
        assert "offline" not in {mark.state.value for mark in run.marks()}


def test_a_camera_that_is_away_at_first_is_found_when_it_appears(broker_pair: EmbeddedPair) -> None:
    with RtspServer(listen=False) as server, ProducerRun(broker_pair, [_camera(server.url)]) as run:
        until(lambda: run.state() == "offline", 5)
        assert run.page("/readyz") == "ok\n"
        server.resume()
        until(lambda: run.state() == "online" and len(run.frames()) > 2, 10)


@pytest.mark.parametrize("with_length", [True, False], ids=["with length", "without length"])
def test_motion_jpeg_is_passed_through_byte_for_byte(broker_pair: EmbeddedPair, with_length: bool) -> None:
    with HttpServer() as server, ProducerRun(broker_pair, [_camera(server.stream_url)]) as run:
        server.with_length = with_length
        until(lambda: len(run.frames()) >= 5, 10)
        assert {sent.jpeg for sent in run.frames()} <= set(jpegs())
        assert len({sent.jpeg for sent in run.frames()}) >= 4


def test_cameras_that_pass_through_are_read_by_one_thread(broker_pair: EmbeddedPair) -> None:
    with HttpServer() as server:
        cameras = [_camera(server.stream_url, f"cam-{number}") for number in range(5)]
        with ProducerRun(broker_pair, cameras) as run:
            until(lambda: all(len(run.frames(camera.id)) >= 5 for camera in cameras), 10)
            names = [thread.name for thread in threading.enumerate()]
            assert names.count("shared-reader") == 1
            assert not [name for name in names if name.startswith("capture-")]
            assert run.end() == 0
            for camera in cameras:
                assert _seqs_are_contiguous(run, camera.id)
                assert run.marks(camera.id)[-1].final
                assert run.marks(camera.id)[-1].next_seq == len(run.frames(camera.id))
        assert "shared-reader" not in [thread.name for thread in threading.enumerate()]


def test_a_camera_whose_pictures_grow_too_wide_is_read_alone_and_never_was_away(broker_pair: EmbeddedPair) -> None:
    with HttpServer() as server, ProducerRun(broker_pair, [_camera(server.stream_url, width=SIZE[0])]) as run:
        until(lambda: len(run.frames()) >= 3 and run.state() == "online", 10)
        server.size = (SIZE[0] * 2, SIZE[1] * 2)
        until(lambda: "capture-cam" in [thread.name for thread in threading.enumerate()], 10)
        before = len(run.frames())
        until(lambda: len(run.frames()) > before + 3, 10)
        server.size = SIZE
        until(lambda: "capture-cam" not in [thread.name for thread in threading.enumerate()], 10)
        before = len(run.frames())
        until(lambda: len(run.frames()) > before + 3, 10)
        assert {(sent.header.width, sent.header.height) for sent in run.frames()} == {SIZE}
        assert {mark.state.value for mark in run.marks()} == {"online"}
        assert run.metric("maskwatch_camera_reconnects_total", camera="cam") == 0
        assert _seqs_are_contiguous(run)


def test_a_broker_that_hangs_takes_no_shared_camera_offline(broker_pair: EmbeddedPair) -> None:
    """The one thread that reads them all hangs with it, for longer than a camera may be silent."""
    with HttpServer() as server, Proxy(broker_pair.frames.url) as proxy:
        pair: Any = SimpleNamespace(frames=SimpleNamespace(url=proxy.url), state=broker_pair.state)
        cameras = [_camera(server.stream_url, name) for name in ("cam", "other")]
        with ProducerRun(pair, cameras) as run:
            until(lambda: all(run.state(camera.id) == "online" for camera in cameras), 10)
            before = {camera.id: len(run.frames(camera.id)) for camera in cameras}
            proxy.toxics = Toxics(blackhole=True)
            until(lambda: run.metric("maskwatch_broker_errors_total", endpoint="frames", code="timeout") >= 1, 10)
            proxy.toxics = Toxics()
            until(lambda: all(len(run.frames(camera.id)) > before[camera.id] + 5 for camera in cameras), 10)
            lost = [run.metric("maskwatch_frames_dropped_total", camera=c.id, reason="busy") for c in cameras]
            assert all(lost), "what came while nobody read is of no known time"
            for camera in cameras:
                assert {mark.state.value for mark in run.marks(camera.id)} == {"online"}
                assert run.metric("maskwatch_camera_reconnects_total", camera=camera.id) == 0


def test_motion_jpeg_wider_than_wanted_is_scaled_and_needs_the_right_password(broker_pair: EmbeddedPair) -> None:
    with HttpServer(size=(640, 480)) as server:
        server.password = "s3cret"
        welcome = _camera(server.stream_url.replace("://", "://camera:s3cret@"), width=320)
        stranger = _camera(server.stream_url, "stranger")
        with ProducerRun(broker_pair, [welcome, stranger]) as run:
            until(lambda: len(run.frames()) >= 3 and run.state("stranger") == "offline", 10)
            assert (run.frames()[0].header.width, run.frames()[0].header.height) == (320, 240)
            assert jpeg.decode(run.frames()[0].jpeg).shape == (240, 320, 3)
            assert "401" in run.marks("stranger")[-1].cause
            assert run.frames("stranger") == []


def test_a_motion_jpeg_camera_that_stalls_is_offline_until_it_sends_again(broker_pair: EmbeddedPair) -> None:
    with HttpServer() as server, ProducerRun(broker_pair, [_camera(server.stream_url)]) as run:
        until(lambda: run.state() == "online", 5)
        server.stall()
        until(lambda: run.state() == "offline", 5)
        server.resume()
        until(lambda: run.state() == "online", 10)
        assert _seqs_are_contiguous(run)


def test_frames_come_at_the_wanted_rate(broker_pair: EmbeddedPair) -> None:
    with HttpServer(fps=30) as server, ProducerRun(broker_pair, [_camera(server.stream_url, fps=10)]) as run:
        until(lambda: len(run.frames()) >= 21, 10)
        first, last = run.frames()[0].header, run.frames()[20].header
        assert 8.5 <= 20 / (last.captured_at - first.captured_at) <= 11


def test_a_still_scene_behind_a_motion_gate_is_thinned_and_counted(broker_pair: EmbeddedPair) -> None:
    with HttpServer() as server, ProducerRun(broker_pair, [_camera(server.stream_url, motion_gate=True)]) as run:
        until(lambda: len(run.frames()) >= 5, 5)
        server.freeze()
        until(lambda: run.metric("maskwatch_frames_dropped_total", camera="cam", reason="motion") >= 5, 5)
        assert run.end() == 0
        assert run.marks()[-1].dropped["motion"] >= 5
        assert run.marks()[-1].next_seq == len(run.frames())
