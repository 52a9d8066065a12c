"""What events say of pictures: the best one, named once it is worth it, as far as the plan allows; never the bytes."""

from __future__ import annotations

import json
from typing import Any

from common.events import CloudEvent, ViolationData
from common.schema import FaceReading, FrameResult, PictureNote
from common.siteplan import parse_plan
from tests.judge_scenes import CAMERA, SESSION, play, said, scene, standing
from workers.judge.context import CameraContext, context_of
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState

SNAPSHOTS = {"snapshots": True, "snapshot_hours": 2}
CONSENT = [{"id": "default", "training": {"consent": True, "hours": 5}}]


def context(privacy: dict[str, Any] | None = None, **rest: Any) -> CameraContext:
    cameras = [{"id": CAMERA, "source": "synthetic:test"}]
    raw = {"site": "office", "cameras": cameras, "privacy": SNAPSHOTS if privacy is None else privacy, **rest}
    return context_of(parse_plan(raw, "test"), CAMERA)


def judge_of(**plan: Any) -> CameraJudge:
    return CameraJudge(context(**plan), CameraState())


def with_pictures(
    results: list[FrameResult], every: int = 1, first: int = 0, kinds: tuple[str, ...] = ("snapshot",)
) -> list[FrameResult]:
    """Let every so many frames have pictures of their faces."""
    return [
        result
        if result.seq < first or result.seq % every
        else result.model_copy(update={"faces": tuple(noted(face, result.seq, kinds) for face in result.faces)})
        for result in results
    ]


def noted(face: FaceReading, seq: int, kinds: tuple[str, ...]) -> FaceReading:
    note = PictureNote.model_validate(
        {"kinds": kinds, "width": 320, "height": 240, "sha256": f"{seq:064x}", "blurred": False}
    )
    return face.model_copy(update={"picture": note})


def growing(seconds: float) -> list[FrameResult]:
    """Somebody without a mask who comes closer."""
    return scene([lambda t: (0.5, 0.4, 0.02 + 0.006 * t, "no_mask") if t < seconds else None], seconds + 6)


def data_of(events: list[CloudEvent]) -> list[ViolationData]:
    return [event.data for event in events if isinstance(event.data, ViolationData)]


def seqs(events: list[CloudEvent]) -> list[int | None]:
    return [None if one.snapshot is None else int(one.snapshot.uri.split("/")[3]) for one in data_of(events)]


def test_started_names_the_best_picture_so_far_and_when_it_will_be_gone() -> None:
    events = play(judge_of(), with_pictures(scene([standing("no_mask", 0, 3)], 8)))
    assert said(events) == ["started", "ended:track_lost"]
    started = data_of(events)[0]
    assert started.snapshot is not None
    assert started.snapshot.uri == f"maskwatch:snapshot/{CAMERA}/{SESSION}/0/0"
    assert (started.snapshot.width, started.snapshot.height, started.snapshot.blurred) == (320, 240, False)
    assert started.snapshot.sha256 == "0" * 64
    assert (started.privacy.mode, started.privacy.blurred) == ("full", True)
    assert started.privacy.retain_until == "2026-09-21T16:13:20.000Z", "two hours after it was taken"
    assert started.crop is None
    assert data_of(events)[1].snapshot == started.snapshot


def test_an_event_holds_no_picture() -> None:
    for event in play(judge_of(), with_pictures(scene([standing("no_mask", 0, 3)], 8))):
        assert len(event.to_json()) < 4096
        assert set(json.loads(event.to_json())["data"]["snapshot"]) == {
            "uri", "media_type", "width", "height", "blurred", "sha256",
        }  # fmt: skip


def test_a_much_better_picture_is_an_update_of_its_own_but_not_more_often_than_other_updates() -> None:
    events = play(judge_of(), with_pictures(growing(20)))
    updates = [one for one in data_of(events) if one.lifecycle == "updated"]
    assert {one.reason for one in updates} == {"better_snapshot"}
    assert all(one.changes == ["snapshot"] for one in updates)
    assert 1 <= len(updates) <= 3
    times = [event.time for event in events if event.type.endswith("updated.v1")]
    assert len(set(times)) == len(times)
    named = [seq for seq in seqs(events) if seq is not None]
    assert named == sorted(named)


def test_a_picture_that_comes_after_started_is_told() -> None:
    events = play(judge_of(), with_pictures(scene([standing("no_mask", 0, 12)], 18), first=30))
    assert said(events) == ["started", "updated:better_snapshot", "ended:track_lost"]
    assert seqs(events) == [None, 30, 30]
    assert data_of(events)[0].privacy.retain_until is None


def test_a_picture_that_would_be_gone_before_it_could_be_kept_is_not_named() -> None:
    """With half a minute of grace the first pictures are gone when the episode starts; a later one is named."""
    plan = {"policies": [{"id": "default", "grace_s": 40}]}
    events = play(judge_of(**plan), with_pictures(scene([standing("no_mask", 0, 45)], 50), every=60))
    started_at = next(seq for seq in seqs(events))
    assert started_at is not None
    assert 200 - started_at <= 100, "not older than 20 s when it is named"
    alone = [result if result.seq else with_pictures([result])[0] for result in scene([standing("no_mask", 0, 45)], 50)]
    assert seqs(play(judge_of(**plan), alone))[0] is None


def test_putting_the_mask_on_and_off_begins_with_new_pictures() -> None:
    def person(t: float) -> tuple[float, float, float, str] | None:
        return (0.5, 0.4, 0.08, "mask" if 4 <= t < 20 else "no_mask") if t < 26 else None

    events = play(judge_of(policies=[{"id": "default", "cooldown_s": 1}]), with_pictures(scene([person], 30)))
    assert said(events) == ["started", "ended:class_changed", "started", "ended:track_lost"]
    first, _, second, _ = seqs(events)
    assert first is not None
    assert second is not None
    assert second >= 100 > first


def test_crops_are_named_apart_and_only_with_consent() -> None:
    results = with_pictures(scene([standing("no_mask", 0, 3)], 8), kinds=("snapshot", "crop"))
    (started, _) = data_of(play(judge_of(policies=CONSENT), results))
    assert started.crop is not None
    assert started.crop.uri == f"maskwatch:crop/{CAMERA}/{SESSION}/0/0"
    assert started.crop.retain_until == "2026-09-21T19:13:20.000Z"
    (only_crop, _) = data_of(play(judge_of(privacy={}, policies=CONSENT), results))
    assert (only_crop.snapshot, only_crop.privacy.blurred, only_crop.privacy.retain_until) == (None, False, None)
    assert only_crop.crop is not None
    (neither, _) = data_of(play(judge_of(privacy={}), results))
    assert (neither.snapshot, neither.crop) == (None, None)


def test_redacted_events_say_so() -> None:
    results = with_pictures(scene([standing("no_mask", 0, 3)], 8))
    (started, _) = data_of(play(judge_of(privacy={"mode": "redacted", **SNAPSHOTS}), results))
    assert started.privacy.mode == "redacted"


def test_a_covered_face_leaves_no_picture_behind() -> None:
    def person(t: float) -> tuple[float, float, float, str] | None:
        return (0.5, 0.4, 0.08, "mask" if t < 4 else "no_mask") if t < 8 else None

    events = play(judge_of(), with_pictures(scene([person], 12)))
    assert (seqs(events)[0] or 0) >= 20


def test_a_judge_that_takes_over_names_the_same_pictures() -> None:
    results = with_pictures(growing(20), kinds=("snapshot", "crop"))
    whole = [event.to_json() for event in play(judge_of(policies=CONSENT), results)]
    state, parts = CameraState(), []
    for result in results:
        judge = CameraJudge(context(policies=CONSENT), CameraState.from_bytes(state.to_bytes()))
        parts += play(judge, [result])
        state = judge.state
    assert [event.to_json() for event in parts] == whole
