"""How many series a thousand cameras make, with every label value there is; and that no label grows without end."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from common import jpeg
from common.broker.frames.entries import FrameEntry
from common.errors import BrokerError
from common.events import CameraInfo, CloudEvent, Verdict
from common.events.feedback import FeedbackLabel
from common.feedback import FeedbackRecord, GivenLabel
from common.lifecycle import StopSignal
from common.metrics import CollectorRegistry, Counter, process_registry
from common.schema import CameraState, FrameHeader, Outcome
from producers.ledger import Drop, Ledger
from producers.metrics import ProducerMetrics
from workers.feedback.precision import AlarmPrecision
from workers.infer.arrivals import Frame
from workers.infer.desk import Desk
from workers.infer.looking import FAILED
from workers.infer.metrics import InferMetrics
from workers.infer.outbox import Outbox
from workers.infer.outcomes import OVERTAKEN, STALE, Finished, Reporter
from workers.infer.patience import Patience
from workers.infer.solo import GARBLED, KILLED, TIMEOUT
from workers.judge.metrics import JudgeMetrics
from workers.notify.metrics import NotifyMetrics
from workers.notify.outcome import Outcome as Delivery
from workers.site.engine import Noted
from workers.site.metrics import SiteMetrics

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "examples"
CAMERAS = [f"cam-{number:04}" for number in range(1000)]
EACH = {"producer": 17, "infer": 15, "judge": 24}
"""Series of each camera at most; the table in ``docs/alerts.md`` says the same."""
REST, EACH_ZONE, EACH_RECEIVER = 400, 5, 30
SESSION = 1_790_000_000_123
REJECTED = ("empty", "too_big", "magic", "header", "dimensions", "process", "components", "truncated", "decode")
MEMORY = re.compile(r"\d{5,}|[0-9a-f]{8}-[0-9a-f]{4}|[\s/:]")
"""A number of a frame or session, an event's id, words of an error, a path: none of these may be a label."""


class Written:
    """A broker that takes everything."""

    def append_present(self, _results: Sequence[tuple[int, bytes]]) -> dict[int, BrokerError]:
        """Take results."""
        return {}

    def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None:
        """Take a dead letter."""


def series(registry: CollectorRegistry) -> list[tuple[str, dict[str, str]]]:
    """Every sample that a scrape would bring."""
    return [(sample.name, dict(sample.labels)) for family in registry.collect() for sample in family.samples]


def by_camera(registry: CollectorRegistry) -> dict[str, int]:
    """How many of them each camera has."""
    return dict(Tally(labels["camera"] for _, labels in series(registry) if "camera" in labels))


def check_labels(registry: CollectorRegistry) -> None:
    """No label holds a value that others could follow without end."""
    for name, labels in series(registry):
        for label, value in labels.items():
            assert len(value) <= 63, (name, label, value)
            assert label in ("camera", "le") or not MEMORY.search(value), (name, label, value)


@pytest.fixture
def registry() -> CollectorRegistry:
    return process_registry()


def test_a_counter_is_one_series_and_not_two(registry: CollectorRegistry) -> None:
    Counter("some_total", "", ["camera"], registry=registry).labels("a").inc()
    assert [name for name, _ in series(registry) if name.startswith("some")] == ["some_total"]


def test_a_producer_of_a_thousand_cameras(registry: CollectorRegistry) -> None:
    metrics = ProducerMetrics(registry)
    fixed = len(series(registry))
    for camera in CAMERAS:
        ledger = Ledger(camera, metrics)
        ledger.publish()
        for reason in Drop:
            ledger.drop(reason)
        for state in CameraState:
            metrics.show_state(camera, state)
        metrics.fps.labels(camera).set(5)
        metrics.reconnects.labels(camera).inc()
    assert len(series(registry)) - fixed == EACH["producer"] * len(CAMERAS)
    check_labels(registry)
    for camera in CAMERAS[1:]:
        metrics.forget(camera, (reason.value for reason in Drop))
    assert by_camera(registry) == {CAMERAS[0]: EACH["producer"]}


def finished(camera: str) -> Iterable[Finished]:
    """Frames of a camera that end in every way there is."""
    header = FrameHeader(session=SESSION, seq=7, captured_at=1.79e9, width=64, height=64)
    frame = Frame(FrameEntry(camera, 0, f"{SESSION}-0", b"", b""), header, 0.0)
    yield Finished(frame, Outcome.OK)
    yield from (Finished(frame, Outcome.SKIPPED, reason) for reason in (STALE, OVERTAKEN))
    yield from (Finished(frame, Outcome.REJECTED, reason) for reason in REJECTED)
    yield Finished(frame, Outcome.DEAD, FAILED)


def test_an_infer_worker_that_reads_a_thousand_cameras(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "maskwatch.infer")  # a thousand dead letters
    metrics = InferMetrics(registry)
    outbox = Outbox(Written(), Written(), Patience(StopSignal(), 1.0), lambda _: None)
    desk = Desk(outbox, Reporter("host-0", lambda: 1.79e9), metrics, "host-0")
    fixed = len(series(registry))
    for camera in CAMERAS:
        ends = list(finished(camera))
        assert desk.finish(ends)
        metrics.backlog.labels(camera).set(0.1)
        metrics.trimmed_pending.labels(camera).inc()
    assert desk.finish([replace(ends[-1], reason=reason) for reason in (KILLED, TIMEOUT, GARBLED)])
    assert by_camera(registry) == dict.fromkeys(CAMERAS, EACH["infer"])
    assert len(series(registry)) - fixed <= EACH["infer"] * len(CAMERAS) + REST
    check_labels(registry)
    metrics.forget({*CAMERAS[1:]})
    assert by_camera(registry) == {CAMERAS[0]: EACH["infer"]}


def test_the_reasons_of_refused_pictures_are_those_that_are_counted_here() -> None:
    named = set(re.findall(r'FrameRejectedError\(\s*"(\w+)"', inspect.getsource(jpeg)))
    assert named <= set(REJECTED)
    assert named


def test_a_judge_of_a_thousand_cameras_whose_alarms_people_judged(registry: CollectorRegistry) -> None:
    judge = JudgeMetrics(registry)
    planned = set(CAMERAS)
    alarms = AlarmPrecision(registry, planned=lambda camera: camera in planned)
    fixed = len(series(registry))
    given = tuple(
        GivenLabel.model_validate({"label": label, "by": f"person {at}", "at": 1.79e9 + at})
        for at, label in enumerate(get_args(FeedbackLabel))
    )
    for camera in CAMERAS:
        judge.trimmed.labels(camera, "trimmed").inc()
        for number, verdict in enumerate([*get_args(Verdict), None]):
            alarms.take(a_record(f"{camera} {number}", camera, verdict, given))
    assert by_camera(registry) == dict.fromkeys(CAMERAS, EACH["judge"])
    assert len(series(registry)) - fixed <= EACH["judge"] * len(CAMERAS) + REST
    check_labels(registry)
    planned.intersection_update(CAMERAS[:1])
    alarms.tidy()
    judge.forget(lambda camera: camera in planned)
    assert by_camera(registry).keys() <= {CAMERAS[0]}
    alarms.take(a_record("late", CAMERAS[5], "no_mask", ()))
    assert CAMERAS[5] not in by_camera(registry), "a word on a camera that left brings it back"
    planned.add(CAMERAS[5])
    alarms.tidy()
    assert by_camera(registry)[CAMERAS[5]] == 3


def a_record(subject: str, camera: str, verdict: str | None, given: tuple[GivenLabel, ...]) -> FeedbackRecord:
    """What people said of one alarm."""
    info = CameraInfo.model_validate({"id": camera, "site": "office", "name": camera})
    return FeedbackRecord.model_validate({"subject": subject, "camera": info, "verdict": verdict, "given": given})


def a_window(zone: str) -> CloudEvent:
    """A window that withholds nothing, of a zone or of the site."""
    raw = json.loads((EXAMPLES / "maskwatch.compliance.window.v1.json").read_text("utf-8"))
    raw["data"] |= {"scope": "zone" if zone else "site", "zone": zone or None, "compliance_rate": 0.8}
    raw["data"] |= dict.fromkeys(("persons_observed", "masked", "incorrect", "unmasked", "undetermined"), 9)
    return CloudEvent.model_validate(raw)


def test_the_site_has_five_series_for_each_zone_of_the_plan(registry: CollectorRegistry) -> None:
    metrics = SiteMetrics(registry)
    fixed = len(series(registry))
    zones = [f"zone-{number}" for number in range(500)]
    metrics.keep(zones)
    metrics.count([a_window(zone) for zone in ["", *zones]], Noted())
    shown = len(series(registry)) - fixed
    assert EACH_ZONE * 501 <= shown <= EACH_ZONE * 501 + REST
    check_labels(registry)
    metrics.keep(zones[:3])
    metrics.count([a_window(zones[77])], Noted())
    assert {labels["place"] for _, labels in series(registry) if "place" in labels} == {"site", *zones[:3]}


def test_a_notifier_has_so_many_series_for_each_receiver_and_none_for_cameras(registry: CollectorRegistry) -> None:
    metrics = NotifyMetrics(registry)
    fixed = len(series(registry))
    receivers = [f"receiver-{number}" for number in range(100)]
    for receiver, outcome in product(receivers, Delivery):
        metrics.deliveries.labels(receiver, outcome.value).inc()
        for one in (metrics.pending, metrics.oldest, metrics.lag, metrics.disabled):
            one.labels(receiver).set(1)
        metrics.gaps.labels(receiver).inc()
        metrics.attempt.labels(receiver).observe(0.1)
    assert len(series(registry)) - fixed <= EACH_RECEIVER * len(receivers)
    assert not any("camera" in labels for _, labels in series(registry))
    check_labels(registry)
