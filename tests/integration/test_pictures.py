"""Pictures from the frame to the broker and on: made where the plan says so, named in results, kept for events."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import producers
from common import jpeg
from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.events.log import EventLog
from common.broker.frames.entries import FrameEntry
from common.broker.frames.pictures import PictureStore
from common.broker.lag import broker_now_ms
from common.broker.layout import ensure_layout
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.events import timestamp
from common.images import resize
from common.metrics import CollectorRegistry
from common.models.manifest import bundled, load_version
from common.partition import Keys
from common.pictures import PictureRef, PictureRules
from common.schema import FrameHeader, FrameResult, Outcome, encode
from common.siteplan import parse_plan
from tests.brokers import Brokers
from tests.infer_site import Site, wait_finished
from tests.waiting import until
from workers.backends.backend import BackendOptions, load_models
from workers.backends.openvino_backend import OpenVinoBackend
from workers.infer.arrivals import Frame
from workers.infer.looking import Looker
from workers.infer.metrics import InferMetrics
from workers.infer.outcomes import Signature, ref_of
from workers.infer.pictures.candidates import Candidates
from workers.infer.pictures.keeper import PictureKeeper, Shelf
from workers.infer.versions.serving import Choice, Served, Serving
from workers.infer.vision.decoding import decode_frame
from workers.infer.vision.pipeline import FacePipeline

PORTRAIT = Path(producers.__file__).parent / "portraits" / "hopper.jpg"
SNAPSHOTS = {"mode": "full", "snapshots": True, "snapshot_hours": 2}
CONSENT = [{"id": "default", "training": {"consent": True, "share": 1.0, "hours": 5}}]
JPEG = b"\xff\xd8\xff\xe0 small picture \xff\xd9"


@pytest.fixture
def site(brokers: Brokers, broker_pair: EmbeddedPair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(brokers, broker_pair, tmp_path_factory.getbasetemp(), session=1_790_000_000_000)


@pytest.fixture
def store(brokers: Brokers) -> PictureStore:
    return PictureStore(brokers.frames, brokers.keys)


def put_plan(brokers: Brokers, *cameras: str, **rest: Any) -> None:
    ensure_layout(brokers.state, brokers.keys.prefix, brokers.keys.partitions)
    named = [{"id": name, "source": "synthetic:test"} for name in cameras]
    plan = parse_plan({"site": "test", "cameras": named, **rest}, "test")
    PlanStore(brokers.state, brokers.keys.prefix).publish(plan.to_bytes())


def two_faces() -> bytes:
    scene = np.full((720, 1280, 3), 90, np.uint8)
    face = resize(jpeg.decode(PORTRAIT.read_bytes()), (260, 260))
    scene[200:460, 200:460] = face
    scene[200:460, 700:960] = face[:, ::-1]
    return jpeg.encode(scene)


def result_of(site: Site, camera: str, data: bytes) -> FrameResult:
    """Publish one frame once the worker knows the plan, and give its result."""
    seq = site.publish(camera, data)
    until(lambda: any(one.seq == seq for one in site.results(camera)), 30)
    return next(one for one in site.results(camera) if one.seq == seq)


def pictured(site: Site, camera: str, data: bytes) -> FrameResult:
    """Publish frames until one is pictured: the worker takes up the plan within a second or two."""

    def one() -> FrameResult | None:
        result = result_of(site, camera, data)
        return result if any(face.picture for face in result.faces) else None

    found = until(one, 30)
    assert found is not None
    return found


def test_a_face_that_may_be_a_violation_is_pictured_before_its_result_is_published(
    site: Site, brokers: Brokers, store: PictureStore
) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS)
    with site.worker():
        result = pictured(site, "east", two_faces())
        assert len(result.faces) == 2
        for index, face in enumerate(result.faces):
            assert face.picture is not None
            assert (face.picture.kinds, face.picture.blurred) == (("snapshot",), False)
            data = store.get(PictureRef("snapshot", "east", result.session, result.seq, index))
            assert data is not None
            assert hashlib.sha256(data).hexdigest() == face.picture.sha256
            info = jpeg.inspect(data)
            assert (info.width, info.height) == (face.picture.width, face.picture.height)
            assert max(info.width, info.height) <= 320
    assert all(stored.ends_ms - time.time() * 1000 < 31_000 for stored in store.refs())


def test_without_a_word_in_the_plan_no_picture_is_made(site: Site, brokers: Brokers, store: PictureStore) -> None:
    put_plan(brokers, "east")
    with site.worker():
        results = [result_of(site, "east", two_faces()) for _ in range(4)]
    assert [[face.picture for face in one.faces] for one in results] == [[None, None]] * 4
    assert list(store.refs()) == []


@pytest.mark.parametrize("where", ["site", "camera"])
def test_in_statistics_mode_neither_pictures_nor_crops_are_made(
    site: Site, brokers: Brokers, store: PictureStore, where: str
) -> None:
    """Of two cameras with the same policy one is only counted; the other one shows that the worker knows the plan."""
    if where == "site":
        put_plan(brokers, "east", privacy={"mode": "statistics"})
    else:
        cameras = [
            {"id": "east", "source": "synthetic:test", "privacy": "statistics"},
            {"id": "west", "source": "synthetic:test"},
        ]
        put_plan(brokers, cameras=cameras, privacy=SNAPSHOTS, policies=CONSENT)
    with site.worker():
        if where == "camera":
            pictured(site, "west", two_faces())
        results = [result_of(site, "east", two_faces()) for _ in range(4)]
    assert [[face.picture for face in one.faces] for one in results] == [[None, None]] * 4
    assert [stored for stored in store.refs() if stored.ref.camera == "east"] == []


def test_consent_leaves_crops_as_the_classifier_sees_faces(site: Site, brokers: Brokers, store: PictureStore) -> None:
    put_plan(brokers, "east", policies=CONSENT)
    with site.worker():
        result = pictured(site, "east", two_faces())
    assert [face.picture.kinds for face in result.faces if face.picture] == [("crop",), ("crop",)]
    data = store.get(PictureRef("crop", "east", result.session, result.seq, 1))
    assert data is not None
    side = load_version(bundled("classifier"), "classifier").classifier_input.side
    assert (jpeg.inspect(data).width, jpeg.inspect(data).height) == (side, side)
    kept = next(stored for stored in store.refs("crop") if stored.ref.seq == result.seq)
    assert kept.ends_ms - time.time() * 1000 > 4 * 3_600_000, "drawn at random, so kept for the plan's hours"


def test_a_frames_broker_that_refuses_pictures_costs_no_result(
    brokers: Brokers, broker_pair: EmbeddedPair, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user may read frames but write no pictures: results go on, drops are counted."""
    put_plan(brokers, "east", privacy=SNAPSHOTS)
    user, secret = f"nopics{brokers.keys.prefix}", "s3cret"
    call(brokers.frames, "ACL", "SETUSER", user, "on", f">{secret}", "~*", "+@all", "-set")
    url = broker_pair.frames.url.replace(f"redis://:{broker_pair.frames.password}", f"redis://{user}:{secret}")
    with site.worker(site.connection().model_copy(update={"frames_url": url, "metrics_port": 0})) as running:
        results = [result_of(site, "east", two_faces()) for _ in range(12)]
        wait_finished(site, "east")
    assert running.error is None
    assert {one.outcome for one in results} == {Outcome.OK}
    assert {len(one.faces) for one in results} == {2}
    assert {face.picture for one in results for face in one.faces} == {None}


class Kept:
    """A keeper without its thread, so that a test says when it looks."""

    def __init__(self, brokers: Brokers) -> None:
        keys, state = brokers.keys, brokers.state
        self.metrics = InferMetrics(CollectorRegistry())
        self.store = PictureStore(brokers.frames, keys)
        self.candidates = Candidates(_no_networks(), self.store, self.metrics)
        feed, log = PlanFeed(PlanStore(state, keys.prefix)), EventLog(state, state, keys)
        shelf = Shelf(feed, log, keys.partitions, self.store, lambda: broker_now_ms(state))
        self.keeper = PictureKeeper(shelf, self.candidates, self.metrics)


def _no_networks() -> Serving:
    return Serving.__new__(Serving)  # the keeper looks at no picture


@pytest.fixture
def kept(brokers: Brokers) -> Kept:
    return Kept(brokers)


def a_ref(kind: Any = "snapshot", seq: int = 3) -> PictureRef:
    return PictureRef(kind, "east", 7, seq, 0)


def log_event(brokers: Brokers, hours: float, **data: Any) -> None:
    until_text = timestamp(time.time() + 3600 * hours)
    body = {"data": {"privacy": {"mode": "full", "retain_until": until_text}, **data}}
    key = brokers.keys.events(brokers.keys.partition_of("east"))
    call(brokers.state, "XADD", key, "*", "event", json.dumps(body), "type", "t", "camera", "east", "id", "1")


def left_s(store: PictureStore, ref: PictureRef) -> float:
    return next((one.ends_ms / 1000 - time.time() for one in store.refs() if one.ref == ref), 0.0)


def test_a_picture_that_an_event_names_is_kept_for_its_hours_and_the_others_go(brokers: Brokers, kept: Kept) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS, policies=CONSENT)
    for ref in (a_ref(), a_ref(seq=4), a_ref("crop"), a_ref("crop", 4)):
        kept.store.put(ref, JPEG, 30_000)
    crop = {"uri": a_ref("crop").uri, "retain_until": timestamp(time.time() + 3600)}
    log_event(brokers, 1.5, snapshot={"uri": a_ref().uri}, crop=crop)
    kept.keeper.look()
    kept.keeper.look()
    assert 1.4 * 3600 < left_s(kept.store, a_ref()) < 1.5 * 3600 + 5
    assert 0.9 * 3600 < left_s(kept.store, a_ref("crop")) < 3600 + 5
    assert left_s(kept.store, a_ref(seq=4)) < 31
    assert left_s(kept.store, a_ref("crop", 4)) < 31


def test_no_event_can_keep_a_picture_beyond_the_plan(brokers: Brokers, kept: Kept) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS)
    kept.store.put(a_ref(), JPEG, 30_000)
    log_event(brokers, 5000, snapshot={"uri": a_ref().uri})
    kept.keeper.look()
    assert 3600 < left_s(kept.store, a_ref()) < 2 * 3600 + 5


def test_a_keeper_that_starts_late_still_keeps_what_was_named_before(brokers: Brokers, kept: Kept) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS)
    kept.store.put(a_ref(), JPEG, 30_000)
    log_event(brokers, 1, snapshot={"uri": a_ref().uri})
    Kept(brokers).keeper.look()
    assert left_s(kept.store, a_ref()) > 3000


@pytest.mark.parametrize("privacy", [{"mode": "statistics"}, {"mode": "full"}, {"mode": "redacted"}])
def test_a_plan_that_no_longer_allows_pictures_removes_those_there_are(
    brokers: Brokers, kept: Kept, privacy: dict[str, Any]
) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS, policies=CONSENT)
    for ref in (a_ref(), a_ref("crop")):
        kept.store.put(ref, JPEG, 3_600_000)
    kept.keeper.look()
    assert len(list(kept.store.refs())) == 2
    put_plan(brokers, "east", privacy=privacy)
    kept.keeper.look()
    assert list(kept.store.refs()) == []
    assert kept.candidates.rules == {}


def test_events_that_name_no_picture_or_nonsense_stop_nobody(brokers: Brokers, kept: Kept) -> None:
    put_plan(brokers, "east", privacy=SNAPSHOTS)
    kept.store.put(a_ref(), JPEG, 30_000)
    nonsense: list[Any] = [None, {"uri": "file:///etc/passwd"}, 7, []]
    for snapshot in nonsense:
        log_event(brokers, 1, snapshot=snapshot, crop=snapshot)
    key = brokers.keys.events(brokers.keys.partition_of("east"))
    call(brokers.state, "XADD", key, "*", "event", b"\xff{", "type", "t")
    log_event(brokers, 1, snapshot={"uri": a_ref().uri})
    kept.keeper.look()
    assert left_s(kept.store, a_ref()) > 3000


class Studio:
    """Candidates with the real networks, without a loop around them."""

    def __init__(self, client: Client, keys: Keys, *, most: int = 100) -> None:
        models = load_models()
        pipeline = FacePipeline(OpenVinoBackend(*models, BackendOptions()), *models)
        refs = ref_of(models[0]), ref_of(models[1])
        self.serving = Serving(Served(pipeline, Signature("w", "openvino", *refs), Choice()))
        self.metrics = InferMetrics(CollectorRegistry())
        self.candidates = Candidates(self.serving, PictureStore(client, keys, most), self.metrics)
        self.candidates.rules = {"east": PictureRules(snapshots=True, snapshot_s=3600.0)}
        data = two_faces()
        header = FrameHeader(session=1, seq=0, captured_at=1.0, width=1280, height=720)
        entry = FrameEntry("east", 0, "1-0", encode(header), data, 1)
        self.batch = [(Frame(entry, header), decode_frame(data))]
        self.finished = Looker(self.serving).look(self.batch)

    def named(self) -> int:
        """Have the batch pictured, and count the faces whose pictures are named."""
        finished = self.candidates.illustrate(self.batch, self.finished)
        assert [one.outcome for one in finished] == [Outcome.OK]
        assert [face.box for face in finished[0].faces] == [face.box for face in self.finished[0].faces]
        return sum(face.picture is not None for face in finished[0].faces)

    def dropped(self) -> dict[str, float]:
        """Give the drops by reason."""
        samples = next(iter(self.metrics.pictures_dropped.collect())).samples
        return {one.labels["reason"]: one.value for one in samples if one.name.endswith("_total")}


@pytest.mark.parametrize(("redacted", "visible"), [(False, 1), (True, 0)])
def test_what_lies_on_the_broker_shows_nobody_but_the_subject(brokers: Brokers, redacted: bool, visible: int) -> None:
    studio = Studio(brokers.frames, brokers.keys)
    studio.candidates.rules = {"east": PictureRules(snapshots=True, snapshot_s=60.0, redacted=redacted)}
    finished = studio.candidates.illustrate(studio.batch, studio.finished)
    assert [face.picture and face.picture.blurred for face in finished[0].faces] == [redacted, redacted]
    store, pipeline = PictureStore(brokers.frames, brokers.keys), studio.serving.current.pipeline
    for face in (0, 1):
        data = store.get(PictureRef("snapshot", "east", 1, 0, face))
        assert data is not None
        assert len(pipeline.find([jpeg.decode(data)], pipeline.min_score)[0].boxes) == visible


def test_what_there_is_no_room_for_is_dropped_and_counted(brokers: Brokers) -> None:
    studio = Studio(brokers.frames, brokers.keys, most=1)
    assert studio.named() == 1
    assert studio.dropped() == {"full": 1.0}


def test_a_frames_broker_without_memory_drops_pictures_and_counts_them(tmp_path: Path, brokers: Brokers) -> None:
    with EmbeddedBroker(tmp_path, persist=False, name="small", maxmemory_bytes=1) as broker:
        client = connect(broker.url)
        studio = Studio(client, brokers.keys)
        assert studio.named() == 0
        client.close()
    assert studio.dropped() == {"oom": 2.0}


def test_a_frames_broker_that_is_away_is_not_asked_for_every_batch(tmp_path: Path, brokers: Brokers) -> None:
    with EmbeddedBroker(tmp_path, persist=False, name="gone") as broker:
        client = connect(broker.url, timeout_s=0.5)
        studio = Studio(client, brokers.keys)
    studio.candidates.rules = {"east": PictureRules(crops=True, crop_s=60.0, crop_share=1.0)}
    assert studio.named() == 0
    assert studio.named() == 0
    assert studio.dropped() == {"connection": 2.0, "away": 2.0}
    client.close()


def test_snapshots_leave_nine_tenths_of_the_time_to_results(brokers: Brokers) -> None:
    studio = Studio(brokers.frames, brokers.keys)
    began = time.perf_counter()
    assert studio.named() == 2
    spent_s = time.perf_counter() - began
    resumed_s = until(lambda: time.perf_counter() - began if studio.named() else 0.0, 60)
    assert resumed_s >= 8 * spent_s
    assert studio.dropped() == {}


def test_networks_that_fail_on_a_picture_cost_no_result(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio(brokers.frames, brokers.keys)

    def fail(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(FacePipeline, "find", fail)
    assert studio.named() == 0
    assert studio.dropped() == {"failed": 1.0}
