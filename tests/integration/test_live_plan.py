"""A plan that is published while everything runs reaches every service, and disturbs no camera it does not touch."""

from __future__ import annotations

import json
import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedPair
from common.broker.events.log import EventLog
from common.lifecycle import StopSignal
from common.settings import ServiceSettings
from common.siteplan import Camera, SitePlan
from producers import share
from producers.roster import CAPTURE_FIELDS, same_capture
from tests.brokers import Brokers
from tests.producer_run import ProducerRun
from tests.video_material import pictures
from tests.waiting import until
from workers.infer import service as infer
from workers.infer.settings import InferSettings
from workers.judge import service as judge
from workers.judge.settings import JudgeSettings

WITHIN_S = 4.0
"""Twice what is promised, since tests share their machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of a wandering square, to be shown in a loop."""
    path = tmp_path_factory.mktemp("pictures")
    for number, picture in enumerate(pictures()):
        cv2.imwrite(str(path / f"{number:03d}.jpg"), picture)
    return path


def camera(name: str, folder: Path, /, **more: Any) -> Camera:
    return Camera.model_validate({"id": name, "source": str(folder), "fps": 10, "loop": True} | more)


def sessions(run: ProducerRun, name: str) -> list[int]:
    return sorted({sent.header.session for sent in run.frames(name)})


def seqs(run: ProducerRun, name: str, session: int) -> list[int]:
    return [sent.header.seq for sent in run.frames(name) if sent.header.session == session]


def without_gap(seqs: list[int]) -> bool:
    """Whether these are the first numbers of a session; asked once, since more of them come all the time."""
    return seqs == list(range(len(seqs)))


def trouble(run: ProducerRun) -> str:
    """What /readyz complains of; empty while all is well or nothing answers yet."""
    try:
        run.page("/readyz")
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""
    return ""


def test_a_new_plan_adds_changes_and_removes_cameras_and_leaves_the_others_alone(
    broker_pair: EmbeddedPair, folder: Path
) -> None:
    """The untouched camera goes on counting in its session; the three others follow within two seconds."""
    stays, changes, goes = (camera(name, folder) for name in ("stays", "changes", "goes"))
    with ProducerRun(broker_pair, [stays, changes, goes], published=True) as run:
        until(lambda: all(len(run.frames(name)) >= 5 for name in ("stays", "changes", "goes")), 10)
        before = len(run.frames("stays"))
        run.publish(stays, camera("changes", folder, width=160), camera("comes", folder))
        until(
            lambda: (
                run.frames("comes")
                and run.frames("changes")[-1].header.width == 160
                and any(mark.final for mark in run.marks("goes"))
            ),
            WITHIN_S,
        )
        until(lambda: len(run.frames("stays")) >= before + 30, 6)
        (only,) = sessions(run, "stays")
        assert without_gap(seqs(run, "stays", only))
        times = [sent.header.captured_at for sent in run.frames("stays")]
        assert max(b - a for a, b in pairwise(times)) < 0.6
        old, new = sessions(run, "changes")
        assert without_gap(seqs(run, "changes", new))
        final = next(mark for mark in run.marks("changes") if mark.final)
        assert (final.session, final.next_seq) == (old, len(seqs(run, "changes", old)))
        assert run.marks("goes")[-1].next_seq == len(run.frames("goes"))
        assert run.metric("maskwatch_frames_published_total", camera="goes") == 0
        assert run.metric("maskwatch_frames_published_total", camera="stays") > 0
        assert run.page("/healthz") == "ok\n"


def test_what_does_not_concern_capture_does_not_touch_it(broker_pair: EmbeddedPair, folder: Path) -> None:
    with ProducerRun(broker_pair, [camera("cam", folder)], published=True) as run:
        until(lambda: len(run.frames()) >= 3, 10)
        version = run.publish(camera("cam", folder, name="Gate", tags=["night"], place={"level": "2"}))
        until(lambda: run.metric("maskwatch_plan_version") == version, WITHIN_S)
        before = len(run.frames())
        until(lambda: len(run.frames()) >= before + 10, 5)
        assert len(sessions(run, "cam")) == 1
        assert not any(mark.final for mark in run.marks())


def test_a_stored_plan_that_cannot_be_used_is_counted_and_the_one_in_force_stays(
    broker_pair: EmbeddedPair, folder: Path
) -> None:
    with ProducerRun(broker_pair, [camera("cam", folder)], published=True) as run:
        until(lambda: len(run.frames()) >= 3, 10)
        for number, payload in enumerate((b"{no json", b'{"site": "x", "cameras": 7}', b"[" * 100_000), 1):
            run.plans.publish(payload)
            until(lambda: run.metric("maskwatch_plans_unusable_total") == number, WITHIN_S)  # noqa: B023 - used at once
        assert run.metric("maskwatch_plan_version") == 1
        before = len(run.frames())
        until(lambda: len(run.frames()) >= before + 5, 5)
        assert len(sessions(run, "cam")) == 1
        run.publish(camera("other", folder))
        until(lambda: run.frames("other") and run.marks()[-1].final, WITHIN_S)


def test_the_stream_of_a_removed_camera_is_emptied_and_the_camera_can_come_back(
    brokers: Brokers, broker_pair: EmbeddedPair, folder: Path
) -> None:
    with ProducerRun(broker_pair, [camera("cam", folder)], published=True, max_age_s=1.0) as run:
        key = run.keys.frames("cam")
        until(lambda: call(brokers.frames, "XLEN", key) >= 3, 10)
        run.publish()
        until(lambda: call(brokers.frames, "XLEN", key) == 0, WITHIN_S + 3)
        assert not run.ended()
        run.publish(camera("cam", folder))
        until(lambda: call(brokers.frames, "XLEN", key) >= 3, WITHIN_S)


def test_a_producer_waits_for_the_first_plan_and_follows_only_its_own_cameras(
    broker_pair: EmbeddedPair, folder: Path
) -> None:
    one, two = camera("one", folder), camera("two", folder)
    with ProducerRun(broker_pair, [], published=True, cameras=["one"]) as run:
        until(lambda: "no site plan" in trouble(run), 5)
        run.publish(one, two)
        until(lambda: len(run.frames("one")) >= 2, WITHIN_S)
        version = run.publish(two)
        until(lambda: run.metric("maskwatch_plan_version") == version and run.marks("one")[-1].final, WITHIN_S)
        assert not run.ended()
        run.publish(one)
        until(lambda: len(sessions(run, "one")) == 2, WITHIN_S)
        assert run.frames("two") == []


def test_a_share_of_a_later_plan_is_what_it_would_have_been_from_the_start(folder: Path) -> None:
    plan = SitePlan(site="test", cameras=[camera(f"c{number}", folder) for number in range(20)])
    halves = [share.follow(plan, [], f"{number}/2") for number in (1, 2)]
    assert sorted(one.id for half in halves for one in half) == sorted(one.id for one in plan.cameras)
    assert share.follow(plan, ["c1", "left"], "") == [plan.cameras[1]]


@pytest.mark.parametrize("name", sorted(Camera.model_fields))
def test_every_field_of_a_camera_either_restarts_capture_or_is_known_not_to(name: str, folder: Path) -> None:
    """A field that somebody adds to cameras must be sorted here on purpose."""
    harmless = {"id", "name", "place", "tags", "policy", "zones", "privacy", "snapshots", "detect_px"}
    assert (name in CAPTURE_FIELDS) != (name in harmless)
    one = camera("cam", folder)
    if name in CAPTURE_FIELDS:
        value = getattr(one, name)
        other = not value if isinstance(value, bool) else value + "x" if isinstance(value, str) else value * 2
        assert not same_capture(one, one.model_copy(update={name: other}))


class Events:
    """The event log of a test."""

    def __init__(self, brokers: Brokers) -> None:
        self._log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
        self._cursors = self._log.start_cursors("0")
        self._all: list[dict[str, Any]] = []

    def of(self, name: str, kind: str, **data: str) -> list[dict[str, Any]]:
        """Give the data of a camera's events so far whose type ends like this and whose data holds this."""
        for event in self._log.read(self._cursors, 0, 100):
            self._cursors[event.partition] = event.entry_id
            self._all.append(json.loads(event.event) | {"of": event.camera})
        mine = [event["data"] for event in self._all if event["of"] == name and event["type"].endswith(kind)]
        return [one for one in mine if all(one.get(key) == value for key, value in data.items())]


@contextmanager
def thread(work: Callable[[StopSignal], object]) -> Iterator[None]:
    stop = StopSignal()
    worker = threading.Thread(target=work, args=(stop,), daemon=True)
    worker.start()
    try:
        yield
    finally:
        stop.set("test")
        worker.join(20)
        assert not worker.is_alive()


@contextmanager
def workers(connection: ServiceSettings, cache: Path) -> Iterator[None]:
    """Run infer and judge as a station would."""
    quiet = connection.model_copy(update={"metrics_port": None})
    looks = InferSettings(backend="openvino", cache_dir=cache, block_s=0.1)
    with (
        thread(lambda stop: infer.run(quiet, looks, stop)),
        thread(lambda stop: judge.run(quiet, JudgeSettings(), stop)),
    ):
        yield


def test_infer_and_judge_follow_and_a_removed_camera_ends_with_its_episodes(
    brokers: Brokers, broker_pair: EmbeddedPair, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An episode runs on a camera; the plan that removes the camera ends it, and brings another one, in time."""
    busy = Camera(id="busy", source="synthetic:platform?seed=3&start=6.5", fps=6, width=960)
    with ProducerRun(broker_pair, [busy], keys=brokers.keys, published=True, frozen_s=60) as run:
        events = Events(brokers)
        with workers(run.connection, tmp_path_factory.getbasetemp() / "openvino"):
            until(lambda: events.of("busy", "violation.started.v1"), 25)
            run.publish(camera("fresh", folder))
            until(lambda: events.of("fresh", "camera.status.v1", state="online"), WITHIN_S)
            until(lambda: events.of("busy", "violation.ended.v1"), WITHIN_S)
            assert events.of("busy", "violation.ended.v1")[-1]["reason"] == "camera_lost"
            assert events.of("busy", "camera.status.v1")[-1]["state"] == "offline"
