"""Recordings, folders and bad sources through a whole producer, against a real broker that also fails."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import urllib.error
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.frames.reader import FrameReader
from common.errors import ConfigError
from common.lifecycle import StopSignal
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from producers import service
from producers.settings import ProducerSettings
from tests.producer_run import ProducerRun
from tests.video_http import HttpServer
from tests.video_material import jpegs, pictures, write_video
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 15 frames each."""
    return write_video(tmp_path_factory.mktemp("video") / "scene.mp4")


def _camera(source: object, camera_id: str = "cam", **more: object) -> Camera:
    return Camera.model_validate({"id": camera_id, "source": str(source), "fps": 15, **more})


def test_a_recording_plays_once_at_its_own_speed_and_the_process_ends(broker_pair: EmbeddedPair, video: Path) -> None:
    with ProducerRun(broker_pair, [_camera(video, fps=5)], max_age_s=1.0) as run:
        until(lambda: any(mark.final for mark in run.marks()), 10)
        until(run.ended, 15)
        assert run.join() == 0
        client = connect(broker_pair.frames.url)
        assert call(client, "XLEN", run.keys.frames("cam")) == 0  # nothing outlives the producer
        client.close()
        times = [sent.header.captured_at for sent in run.frames()]
        assert len(times) in (10, 11)
        assert all(0.15 < later - earlier < 0.25 for earlier, later in pairwise(times[1:]))
        assert run.marks()[-1].next_seq == len(times)


def test_a_looped_recording_goes_on_beyond_its_end(broker_pair: EmbeddedPair, video: Path) -> None:
    with ProducerRun(broker_pair, [_camera(video, loop=True)]) as run:
        until(lambda: len(run.frames()) > 40, 10)
        times = [sent.header.captured_at for sent in run.frames()]
        assert times == sorted(times)
        assert not any(mark.final for mark in run.marks())


def test_a_recording_read_as_fast_as_possible_waits_for_slow_workers_and_loses_nothing(
    broker_pair: EmbeddedPair, video: Path
) -> None:
    with ProducerRun(broker_pair, [_camera(video, realtime=False)], unread_limit=3) as run:
        client, blocking = connect(broker_pair.frames.url), connect(broker_pair.frames.url, blocking_s=1.0)
        until(run.marks, 5)
        assert run.frames() == []  # nobody reads yet
        reader = FrameReader(client, blocking, run.keys, "slow")
        reader.set_cameras(["cam"])
        seqs: list[int] = []
        while not any(mark.final for mark in run.marks()):
            entries = reader.read(1, 1, 1 << 22, 0.2)
            unread = call(client, "XLEN", run.keys.frames("cam")) - len(run.marks()) - len(seqs)
            assert unread <= 3
            seqs += [sent.header.seq for sent in run.frames()[len(seqs) : len(seqs) + 1] if entries and entries[0].jpeg]
            reader.ack(entries)
        assert len(run.frames()) == 30
        times = [sent.header.captured_at for sent in run.frames()]
        assert times[-1] - times[0] == pytest.approx(29 / 15, abs=0.05)
        client.close()
        blocking.close()


def test_video_behind_http_is_played(broker_pair: EmbeddedPair, video: Path) -> None:
    with HttpServer(folder=video.parent) as server:
        cameras = [
            _camera(server.file_url("scene.mp4")),
            _camera(server.file_url("none.mp4"), "missing"),
            _camera(f"http://{server.address}/page.html", "page"),
        ]
        with ProducerRun(broker_pair, cameras) as run:
            until(lambda: any(mark.final for mark in run.marks()), 15)
            assert len(run.frames()) >= 27
            assert "404" in run.marks("missing")[-1].cause
            assert "no video" in run.marks("page")[-1].cause


def test_a_folder_of_pictures_is_shown_and_broken_ones_are_counted(broker_pair: EmbeddedPair, tmp_path: Path) -> None:
    for number, data in enumerate(jpegs()[:4]):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    cv2.imwrite(str(tmp_path / "4.png"), pictures()[4])
    (tmp_path / "5.jpg").write_bytes(jpegs()[5][:500])
    (tmp_path / "notes.txt").write_text("no picture")
    with ProducerRun(broker_pair, [_camera(tmp_path, fps=30)]) as run:
        until(lambda: any(mark.final for mark in run.marks()), 10)
        assert [sent.jpeg for sent in run.frames()[:4]] == list(jpegs()[:4])
        assert len(run.frames()) == 5
        assert run.marks()[-1].dropped == {"broken": 1}
        assert run.metric("maskwatch_frames_captured_total", camera="cam") == 6


def test_bad_sources_do_not_disturb_a_good_one(broker_pair: EmbeddedPair, video: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("I am no video.\n" * 200)
    (tmp_path / "empty").mkdir()
    cameras = [
        _camera(tmp_path / "text.mp4", "text"),
        _camera(tmp_path / "empty", "empty"),
        _camera(tmp_path / "nothing.mp4", "nothing"),
        _camera("rstp://127.0.0.1/x", "typo"),
        _camera(video, "good", loop=True),
    ]
    with ProducerRun(broker_pair, cameras) as run:
        until(lambda: len(run.frames("good")) > 15, 10)
        bad = [camera.id for camera in cameras if camera.id != "good"]
        until(lambda: all(run.marks(name) for name in bad), 5)
        causes = {name: run.marks(name)[-1].cause for name in bad}
        assert "holds text" in causes["text"]
        assert "no pictures" in causes["empty"]
        assert "no file" in causes["nothing"]
        assert "did you mean 'rtsp'" in causes["typo"]
        assert run.state("good") == "online"
        assert run.page("/healthz") == "ok\n"


def test_everything_captured_is_published_or_dropped_for_a_reason(
    broker_pair: EmbeddedPair, video: Path, tmp_path: Path
) -> None:
    with EmbeddedBroker(tmp_path, persist=False, name="frames") as frames:
        pair = EmbeddedPair(tmp_path)
        pair.frames, pair.state = frames, broker_pair.state
        with ProducerRun(pair, [_camera(video, loop=True)]) as run:
            until(lambda: len(run.frames()) >= 3, 5)
            client = connect(frames.url)
            call(client, "CONFIG SET", "maxmemory", "100000")
            until(lambda: run.metric("maskwatch_frames_dropped_total", camera="cam", reason="oom") >= 3, 5)
            call(client, "CONFIG SET", "maxmemory", "0")
            client.close()
            held = len(run.frames())
            until(lambda: len(run.frames()) > held + 3, 5)
            frames.kill()
            until(lambda: run.metric("maskwatch_frames_dropped_total", camera="cam", reason="broker") >= 3, 5)
            assert "does not answer" in _unready(run)
            frames.restart()
            run.forget()
            before = run.metric("maskwatch_frames_published_total", camera="cam")
            until(lambda: run.metric("maskwatch_frames_published_total", camera="cam") > before + 3, 10)
            assert run.end() == 0
            last = run.marks()[-1]
            assert last.final
            assert last.dropped["oom"] >= 3
            assert last.dropped["broker"] >= 3
            assert [sent.header.seq for sent in run.frames()][-1] == last.next_seq - 1


def _unready(run: ProducerRun) -> str:
    try:
        return run.page("/readyz")
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def test_metrics_add_up_while_frames_are_dropped(broker_pair: EmbeddedPair, video: Path) -> None:
    with ProducerRun(broker_pair, [_camera(video, loop=True, motion_gate=True, fps=30)]) as run:
        until(lambda: len(run.frames()) >= 10, 10)

        def adds_up() -> bool:
            page = run.page("/metrics")
            numbers = {}
            for name in ("captured", "published", "dropped"):
                values = re.findall(rf"^maskwatch_frames_{name}_total{{.*}} (\S+)$", page, re.M)
                numbers[name] = sum(float(value) for value in values)
            return numbers["captured"] >= 10 and numbers["captured"] == numbers["published"] + numbers["dropped"]

        until(adds_up, 2)


def test_a_signal_ends_the_process_with_a_last_word_on_every_camera(broker_pair: EmbeddedPair, video: Path) -> None:
    run = ProducerRun(broker_pair, [_camera(video, loop=True), _camera("rtsp://127.0.0.1:9/x", "away")])
    program = textwrap.dedent("""
        import sys
        from common.lifecycle import StopSignal
        from common.settings import ServiceSettings
        from common.siteplan import SitePlan
        from producers import service
        from producers.settings import ProducerSettings
        connection, plan = sys.stdin.readline(), sys.stdin.readline()
        stop = StopSignal().install()
        sys.exit(service.run(ServiceSettings.model_validate_json(connection), ProducerSettings(),
                             SitePlan.model_validate_json(plan), stop))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(run.connection.model_dump_json() + "\n" + run.plan.model_dump_json() + "\n")
        process.stdin.close()
        until(lambda: len(run.frames()) > 3 and run.marks("away"), 15)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert run.marks()[-1].final
        assert run.marks()[-1].next_seq == len(run.frames())
        assert run.marks("away")[-1].final
    finally:
        process.kill()
        process.wait()
        run._client.close()


def test_a_camera_that_is_not_in_the_plan_is_refused_with_the_nearest_name(video: Path) -> None:
    plan = SitePlan(site="test", cameras=[_camera(video, "gate-1")])
    with pytest.raises(ConfigError, match="did you mean 'gate-1'"):
        service.run(ServiceSettings(), ProducerSettings(cameras=["gate-2"]), plan, StopSignal())


def test_a_producer_that_is_told_to_stop_while_no_broker_answers_ends() -> None:
    stop = StopSignal()
    stop.set()
    nowhere = "redis://127.0.0.1:1/0"
    plan = SitePlan(site="test", cameras=[])
    assert service.run(ServiceSettings(frames_url=nowhere, state_url=nowhere), ProducerSettings(), plan, stop) == 0
