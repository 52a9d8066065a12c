"""An infer worker between real brokers: every frame ends in a result, whatever it is."""

from __future__ import annotations

import socket
import struct
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from common import jpeg
from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.schema import MarkResult, Outcome
from maskwatch.bench.frames import bench_frames
from tests.brokers import Brokers, open_brokers
from tests.infer_site import Site, a_jpeg, poison_jpeg, wait_finished
from tests.waiting import until


@pytest.fixture
def site(brokers: Brokers, broker_pair: EmbeddedPair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(brokers, broker_pair, tmp_path_factory.getbasetemp())


def test_every_frame_of_every_camera_gets_a_result_and_is_acknowledged(site: Site) -> None:
    site.plan("east", "west", "gate")
    for _ in range(6):
        for camera in ("east", "west", "gate"):
            site.publish(camera)
    with site.worker() as running:
        wait_finished(site, "east", "west", "gate")
        until(lambda: not sum(site.pending(c) for c in ("east", "west", "gate")), 5)

    assert (running.status, running.error) == (0, None)
    for camera in ("east", "west", "gate"):
        results = site.results(camera)
        assert [r.seq for r in results] == list(range(6))
        assert {r.outcome for r in results} == {Outcome.OK}
        assert results[0].detector is not None
        assert results[0].backend.startswith("openvino-cpu")
        assert (results[0].width, results[0].height) == (320, 192)


def test_pictures_that_stay_on_their_device_give_the_same_results(site: Site) -> None:
    site.plan("east", "west")
    site.publish("west", a_jpeg())
    with site.worker(backend="tests.infer_backends:on_device", threads=1) as running:
        wait_finished(site, "west", timeout_s=100)  # torch takes its time to begin
        for data in [*bench_frames(3, (640, 360)), a_jpeg()[:300]]:
            site.publish("east", data)
            site.publish("west", a_jpeg())
        wait_finished(site, "east", "west", timeout_s=60)
        until(lambda: not sum(site.pending(c) for c in ("east", "west")), 30)

    assert (running.status, running.error) == (0, None)
    results = sorted(site.results("east"), key=lambda result: result.seq)  # what the guard refuses is told at once
    assert [r.outcome for r in results] == [Outcome.OK] * 3 + [Outcome.REJECTED]
    assert [len(r.faces) for r in results] == [3, 3, 3, 0]
    assert results[0].backend == "torch-cpu"
    assert {r.outcome for r in site.results("west") if r.seq} == {Outcome.OK}


def test_marks_follow_the_frames_of_their_camera(site: Site) -> None:
    site.plan("east")
    for _ in range(3):
        site.publish("east")
    site.mark("east", final=True)
    with site.worker():
        until(lambda: len(site.messages("east")) == 4, 20)
        until(lambda: site.pending("east") == 0, 5)

    last = site.messages("east")[-1]
    assert isinstance(last, MarkResult)
    assert (last.mark.next_seq, last.mark.final) == (3, True)


def test_malformed_entries_are_counted_and_block_nobody(site: Site) -> None:
    site.plan("east")
    whole = a_jpeg()
    png = b"\x89PNG\r\n\x1a\n" + whole[8:]
    bomb = _with_size(whole, 30_000, 30_000)
    for data in (png, whole[: len(whole) // 2], bomb, b"", b"\xff\xd8\xff" + bytes(100)):
        site.publish("east", data)
    site.foreign("east", h=b"{not json")
    site.foreign("east", h=b'{"kind":"frame","v":9}')
    site.foreign("east", other=b"x")
    site.publish("east")
    with site.worker():
        wait_finished(site, "east")
        until(lambda: site.pending("east") == 0 and len(site.letters("east")) == 3, 5)

    results = {r.seq: r for r in site.results("east")}
    assert [results[seq].outcome for seq in range(6)] == [Outcome.REJECTED] * 5 + [Outcome.OK]
    assert [results[seq].reason for seq in range(5)] == ["magic", "truncated", "dimensions", "empty", "header"]
    assert Counter(letter["reason"] for letter in site.letters("east")) == {
        "wire_schema": 2,
        "wire_fields": 1,
    } or Counter(letter["reason"] for letter in site.letters("east")) == {
        "wire_schema": 1,
        "wire_version": 1,
        "wire_fields": 1,
    }


def _with_size(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def test_frames_older_than_the_age_limit_are_skipped_with_their_reason(site: Site) -> None:
    site.plan("east")
    site.publish_aged("east", 90.0)
    site.publish("east")
    with site.worker():
        wait_finished(site, "east")
    by_seq = {r.seq: (r.outcome, r.reason) for r in site.results("east")}
    assert by_seq == {0: (Outcome.SKIPPED, "stale"), 1: (Outcome.OK, "")}


def test_under_overload_every_camera_keeps_a_fair_share_and_every_frame_is_accounted_for(site: Site) -> None:
    cameras = ("a", "b", "c", "d")
    site.plan(*cameras)
    for camera in cameras:
        for _ in range(60 if camera == "a" else 20):
            site.publish(camera)
    with site.worker(backend="tests.infer_backends:Slow", batch_size=4):
        wait_finished(site, *cameras, timeout_s=30)

    looked_at = {c: sum(r.outcome is Outcome.OK for r in site.results(c)) for c in cameras}
    skipped = {c: sum(r.outcome is Outcome.SKIPPED for r in site.results(c)) for c in cameras}
    assert {c: looked_at[c] + skipped[c] for c in cameras} == {"a": 60, "b": 20, "c": 20, "d": 20}
    assert sum(skipped.values()) > 40
    assert min(looked_at.values()) >= 2
    assert max(looked_at.values()) <= 3 * min(looked_at.values())
    for camera in cameras:
        newest = max(site.results(camera), key=lambda r: r.seq)
        assert newest.outcome is Outcome.OK
        assert {r.reason for r in site.results(camera) if r.outcome is Outcome.SKIPPED} <= {"overload"}


def test_a_frame_that_fails_costs_only_itself(site: Site) -> None:
    site.plan("east")
    site.publish("east")
    site.publish("east", poison_jpeg())
    site.publish("east")
    with site.worker(backend="tests.infer_backends:Raising") as running:
        wait_finished(site, "east")
        until(lambda: site.pending("east") == 0, 5)
    assert running.status == 0
    assert {r.seq: r.outcome for r in site.results("east")} == {0: Outcome.OK, 1: Outcome.DEAD, 2: Outcome.OK}
    (letter,) = site.letters("east")
    assert (letter["seq"], letter["reason"]) == ("1", "failed")
    assert len(letter["sha256"]) == 64


def test_a_backend_that_fails_on_everything_ends_the_worker_and_hands_the_frames_over(site: Site) -> None:
    site.plan("east")
    site.publish("east")
    with site.worker(backend="tests.infer_backends:Broken") as running:
        until(lambda: running.error is not None, 20)
    assert type(running.error).__name__ == "BackendError"
    assert site.results("east") == []
    assert site.letters("east") == []
    with site.worker(name="another"):
        wait_finished(site, "east")
    assert [r.outcome for r in site.results("east")] == [Outcome.OK]


def test_lost_groups_are_made_again_and_reading_goes_on(site: Site) -> None:
    site.plan("east")
    site.publish("east")
    with site.worker():
        wait_finished(site, "east")
        call(site.brokers.frames, "DEL", site.brokers.keys.frames("east"))
        site.publish("east")
        wait_finished(site, "east", timeout_s=10)
    assert [r.seq for r in site.results("east")] == [0, 1]


def test_a_broker_that_is_full_or_dies_delays_results_and_loses_none(site: Site, tmp_path: Path) -> None:
    with EmbeddedPair(tmp_path) as pair, open_brokers(pair.frames.url, pair.state.url) as brokers:
        own = Site(brokers, pair, site.folder)
        own.plan("east")
        with own.worker() as running:
            own.publish("east")
            wait_finished(own, "east")
            call(brokers.state, "CONFIG SET", "maxmemory", "1mb")
            own.publish("east")
            until(lambda: own.pending("east") == 1, 5)
            assert len(own.results("east")) == 1
            call(brokers.state, "CONFIG SET", "maxmemory", "0")
            wait_finished(own, "east")
            until(lambda: own.pending("east") == 0, 5)
            pair.state.kill()
            own.publish("east")
            pair.state.start()
            wait_finished(own, "east")
            pair.frames.kill()
            pair.frames.start()
            own.publish("east")
            wait_finished(own, "east")
        assert running.status == 0
        assert [r.seq for r in own.results("east")] == [0, 1, 2, 3]


def test_large_frames_give_boxes_relative_to_the_full_frame(site: Site) -> None:
    site.plan("east")
    big = np.zeros((1080, 1920, 3), np.uint8)
    site.publish("east", jpeg.encode(big))
    with site.worker():
        wait_finished(site, "east")
    (result,) = site.results("east")
    assert (result.outcome, result.width, result.height) == (Outcome.OK, 1920, 1080)


def test_metrics_add_up_and_health_says_what_is_so(site: Site) -> None:
    site.plan("east")
    port = _free_port()
    with site.worker(site.connection(metrics_port=port)):
        assert _get(port, "/readyz")[0] in (0, 503)
        site.publish_aged("east", 90.0)
        for data in (None, b"junk", None):
            site.publish("east", data)
        wait_finished(site, "east")
        until(lambda: _get(port, "/readyz")[0] == 200, 10)
        until(lambda: 'maskwatch_backlog_seconds{camera="east"} 0.0' in _get(port, "/metrics")[1], 10)
        assert _get(port, "/healthz") == (200, "ok\n")
        lines = _get(port, "/metrics")[1].splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['maskwatch_frames_processed_total{camera="east"}'] == "2.0"
    assert samples['maskwatch_frames_dropped_total{camera="east",reason="stale"}'] == "1.0"
    assert samples['maskwatch_frames_dropped_total{camera="east",reason="rejected_magic"}'] == "1.0"
    assert samples["maskwatch_capture_to_result_seconds_count"] == "2.0"
    for stage in ("read", "guard", "decode", "detect", "crop", "classify", "publish", "ack"):
        assert float(samples[f'maskwatch_stage_seconds_count{{stage="{stage}"}}']) >= 1
    assert sum(name.startswith("maskwatch_model_info") for name in samples) == 2


def test_a_port_in_use_is_refused_before_anything_is_read(site: Site) -> None:
    site.plan("east")
    site.publish("east")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with site.worker(site.connection(metrics_port=port)) as running:
            until(lambda: running.error is not None, 10)
    assert type(running.error).__name__ == "PortInUseError"
    assert str(port) in str(running.error)


def test_cameras_that_join_the_plan_are_read_within_seconds(site: Site) -> None:
    site.plan("east")
    with site.worker():
        site.publish("east")
        wait_finished(site, "east")
        site.publish("late")
        site.plan("east", "late")
        wait_finished(site, "late", timeout_s=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""
