"""Scripted people before the whole judge of one camera."""

from __future__ import annotations

import pytest

from common.events import CameraStatusData, ViolationData
from tests.judge_scenes import (
    CAMERA,
    SESSION,
    START_S,
    Person,
    a_mark,
    a_result,
    entry_ms,
    play,
    said,
    scene,
    standing,
    the_context,
)
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState


def judge_of(**policy: object) -> CameraJudge:
    return CameraJudge(the_context(**policy), CameraState())


def then(*parts: tuple[float, str]) -> Person:
    """Somebody whose label changes: (until s, label), …"""

    def person(t: float) -> tuple[float, float, float, str] | None:
        return next(((0.5, 0.4, 0.08, label) for until, label in parts if t < until), None)

    return person


def test_somebody_uncovered_for_three_seconds_is_one_episode() -> None:
    events = play(judge_of(), scene([standing("no_mask", 1, 4)], 8))

    assert said(events) == ["started", "ended:track_lost"]
    started, ended = events
    assert isinstance(started.data, ViolationData)
    assert isinstance(ended.data, ViolationData)
    assert started.subject == ended.subject
    assert [event.sequence for event in events] == ["000000000000", "000000000001"]
    assert started.id != ended.id
    assert (started.data.severity, started.data.verdict) == ("alert", "no_mask")
    assert started.data.started_at == ended.data.started_at == "2026-09-21T14:13:21.000Z"
    assert ended.data.ended_at == "2026-09-21T14:13:23.800Z"
    assert ended.data.duration_ms == 2800
    assert started.source == f"/sites/office/cameras/{CAMERA}"


def test_a_covered_person_says_nothing() -> None:
    assert play(judge_of(), scene([standing("mask", 0, 6)], 10)) == []


def test_one_frame_of_a_wrong_label_says_nothing() -> None:
    assert play(judge_of(), scene([then((3, "mask"), (3.2, "no_mask"), (8, "mask"))], 12)) == []


def test_putting_the_mask_on_ends_the_episode_once() -> None:
    events = play(judge_of(), scene([then((4, "no_mask"), (12, "mask"))], 16))

    assert said(events) == ["started", "ended:class_changed"]
    assert isinstance(events[1].data, ViolationData)
    assert events[1].data.verdict == "mask"


def test_flickering_labels_are_one_episode() -> None:
    def flicker(t: float) -> tuple[float, float, float, str]:
        return (0.5, 0.4, 0.08, "mask" if round(t * 5) % 4 == 3 else "no_mask")

    assert said(play(judge_of(), scene([lambda t: flicker(t) if t < 20 else None], 25))) == [
        "started",
        "ended:track_lost",
    ]


def test_worse_is_told_at_once_and_better_never_lowers_the_severity() -> None:
    events = play(judge_of(), scene([then((4, "incorrect"), (12, "no_mask"), (24, "incorrect"))], 30))

    assert said(events) == ["started", "updated:severity_raised", "updated:class_changed", "ended:track_lost"]
    assert [event.data.severity for event in events if isinstance(event.data, ViolationData)] == [
        "warning",
        "alert",
        "alert",
        "alert",
    ]
    assert len({event.id for event in events}) == 4


def test_a_restart_within_the_cooldown_waits_unless_it_is_worse() -> None:
    same = [then((3, "no_mask"), (7, "mask"), (11, "no_mask"), (14, "mask"))]
    worse = [then((3, "incorrect"), (7, "mask"), (13, "no_mask"))]

    assert said(play(judge_of(cooldown_s=60), scene(same, 20))) == ["started", "ended:class_changed"]
    assert said(play(judge_of(cooldown_s=60), scene(worse, 20))) == [
        "started",
        "ended:class_changed",
        "started",
        "ended:track_lost",
    ]


def test_grace_passes_before_anything_is_said() -> None:
    assert play(judge_of(grace_s=3), scene([standing("no_mask", 0, 2.5)], 6)) == []
    events = play(judge_of(grace_s=3), scene([standing("no_mask", 0, 5)], 10))

    assert said(events) == ["started", "ended:track_lost"]
    assert events[0].time == "2026-09-21T14:13:23.000Z"


def test_a_moment_is_not_enough_however_many_frames_it_has() -> None:
    assert play(judge_of(), scene([standing("no_mask", 0, 0.5)], 3, fps=25)) == []
    assert said(play(judge_of(), scene([standing("no_mask", 0, 0.7)], 6, fps=25))) == ["started", "ended:track_lost"]


def test_an_end_after_a_turned_head_still_says_how_sure_it_was() -> None:
    judge = judge_of()
    events = play(judge, scene([then((3, "no_mask"), (9, "unsure"))], 9)) + judge.finish(1)

    assert said(events) == ["started", "ended:camera_lost"]
    assert isinstance(events[1].data, ViolationData)
    assert events[1].data.confidence > 0.9


@pytest.mark.parametrize(("label", "width"), [("unsure", 0.08), ("no_mask", 0.01)])
def test_thin_evidence_says_nothing(label: str, width: float) -> None:
    assert play(judge_of(), scene([standing(label, 0, 10, width=width)], 12)) == []


def test_where_no_mask_is_asked_for_nobody_violates() -> None:
    assert play(judge_of(required=False), scene([standing("no_mask", 0, 10)], 12)) == []


@pytest.mark.parametrize("fps", [3, 5, 10])
def test_two_people_who_cross_keep_their_identity(fps: int) -> None:
    """The uncovered one goes right, the covered one goes left; heads at slightly different heights."""

    def uncovered(t: float) -> tuple[float, float, float, str] | None:
        return (0.15 + 0.08 * t, 0.40, 0.06, "no_mask") if t < 8 else None

    def covered(t: float) -> tuple[float, float, float, str] | None:
        return (0.85 - 0.08 * t, 0.44, 0.065, "mask") if t < 8 else None

    assert said(play(judge_of(), scene([uncovered, covered], 14, fps=fps))) == ["started", "ended:track_lost"]


def test_a_passer_by_who_hides_somebody_does_not_split_the_episode() -> None:
    def hidden(t: float) -> tuple[float, float, float, str] | None:
        return None if 4 <= t < 5 or t >= 9 else (0.5, 0.4, 0.08, "no_mask")

    assert said(play(judge_of(), scene([hidden], 14))) == ["started", "ended:track_lost"]


def test_somebody_walking_fast_is_one_track_at_five_frames_a_second() -> None:
    def walker(t: float) -> tuple[float, float, float, str] | None:
        return (0.05 + 0.3 * t, 0.4, 0.04, "no_mask") if t < 3 else None

    assert said(play(judge_of(), scene([walker], 8))) == ["started", "ended:track_lost"]


def test_a_lost_camera_ends_its_episodes_and_says_so_once() -> None:
    judge = judge_of()
    events = judge.accept(a_mark(0, 0), 1_790_000_000_000)
    results = scene([standing("no_mask")], 3)
    events += play(judge, results)
    lost_ms = entry_ms(results[-1]) + 100
    events += judge.accept(a_mark(15, 3.1, "offline", cause="unreachable"), lost_ms)
    events += judge.accept(a_mark(15, 5.1, "offline", cause="unreachable"), lost_ms + 2000)

    assert said(events) == ["camera:online", "started", "camera:offline", "ended:camera_lost"]
    status = events[2].data
    assert isinstance(status, CameraStatusData)
    assert (status.previous, status.cause) == ("online", "unreachable")


def test_the_last_frames_are_judged_though_the_offline_mark_overtakes_them() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 2)
    events = play(judge, results[:2])
    events += judge.accept(a_mark(10, 2, "offline"), entry_ms(results[2]))
    events += play(judge, results[2:])
    events += judge.tick(entry_ms(results[-1]) + 10)

    assert said(events) == ["camera:offline", "started", "ended:camera_lost"]


def test_silence_is_an_offline_camera() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 3)
    events = judge.accept(a_mark(0, 0), entry_ms(results[0])) + play(judge, results)
    last = entry_ms(results[-1])

    assert said(events) == ["camera:online", "started"]
    assert judge.tick(last + 7900) == []
    assert said(judge.tick(last + 8100)) == ["ended:camera_lost", "camera:offline"]
    assert judge.tick(last + 20_000) == []
    assert said(judge.accept(a_mark(15, 40), last + 30_000)) == ["camera:online"]


def test_frames_that_stop_under_a_living_camera_end_by_timeout() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 3)
    play(judge, results)
    last = entry_ms(results[-1])
    events = [event for s in range(2, 14, 2) for event in judge.accept(a_mark(15, 3 + s), last + s * 1000)]

    assert said(events) == ["camera:online", "ended:timeout"]


def test_a_restarted_producer_repeats_nothing_and_keeps_the_person() -> None:
    judge = judge_of()
    results = scene([standing("no_mask", 0, 6)], 12)
    events = judge.accept(a_mark(0, 0), entry_ms(results[0])) + play(judge, results[:15])
    second = SESSION + 3000
    events += judge.accept(a_mark(0, 3, session=second), entry_ms(results[15]) - 1)
    again = [result.model_copy(update={"session": second, "seq": result.seq - 15}) for result in results[15:]]
    events += play(judge, again)

    assert said(events) == ["camera:online", "started", "ended:track_lost"]
    account = judge.state.book.balance()
    assert (account.published, account.processed, account.unaccounted) == (60, 60, 0)


def test_an_orderly_end_leaves_nothing_open_and_nothing_unaccounted() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 3)
    events = play(judge, results)
    events += judge.accept(a_mark(16, 3.2, final=True, dropped={"full": 4}), entry_ms(results[-1]) + 50)
    assert judge.state.book.balance().unaccounted == 1
    events += judge.tick(entry_ms(results[-1]) + 3100)

    assert said(events) == ["started", "camera:offline", "ended:camera_lost"]
    account = judge.state.book.balance()
    assert account.captured == 20
    assert account.all_dropped() == {"trimmed": 1, "full": 4}
    assert account.unaccounted == 0


def test_finish_ends_a_source_without_marks() -> None:
    judge = judge_of()
    results = scene([standing("no_mask")], 3)
    events = play(judge, results)

    assert said(events + judge.finish(entry_ms(results[-1]))) == ["started", "ended:camera_lost"]


def test_frames_nobody_looked_at_are_counted_and_disturb_no_track() -> None:
    judge = judge_of()
    results = scene([standing("no_mask", 0, 6)], 10)
    for seq, outcome, reason in ((7, "skipped", "stale"), (9, "rejected", "magic"), (11, "dead", "")):
        results[seq] = a_result(seq, outcome=outcome, reason=reason, captured_at=START_S + seq / 5)

    assert said(play(judge, results)) == ["started", "ended:track_lost"]
    account = judge.state.book.balance()
    assert account.dropped == {"stale": 1, "rejected_magic": 1, "dead": 1}
    assert account.processed == 47
    assert account.unaccounted == 0


def test_two_boxes_on_one_face_are_one_person() -> None:
    def twin(t: float) -> tuple[float, float, float, str] | None:
        return (0.505, 0.41, 0.07, "no_mask") if t < 5 else None

    assert said(play(judge_of(), scene([standing("no_mask", 0, 5), twin], 10))) == ["started", "ended:track_lost"]


def test_faces_for_drawing_carry_the_verdict() -> None:
    judge = judge_of()
    play(judge, scene([standing("no_mask")], 3))

    (face,) = judge.faces()
    assert (face.verdict, face.violating) == ("no_mask", True)


def hidden_between(start: float, end: float, moved: float = 0.0) -> Person:
    def person(t: float) -> tuple[float, float, float, str] | None:
        if start <= t < end or t >= end + 4:
            return None
        return (0.5 + (moved if t >= end else 0.0), 0.4, 0.08, "no_mask")

    return person


@pytest.mark.parametrize(
    ("pause_s", "moved", "episodes"), [(3.2, 0.0, 1), (3.2, 0.08, 1), (3.2, 0.2, 2), (4.0, 0.0, 2)]
)
def test_a_short_loss_continues_the_episode(pause_s: float, moved: float, episodes: int) -> None:
    events = play(judge_of(), scene([hidden_between(3, 3 + pause_s, moved)], 16))

    assert said(events).count("started") == said(events).count("ended:track_lost") == episodes
    assert len({event.subject for event in events}) == episodes
    lengths = [event.data.duration_ms for event in events if isinstance(event.data, ViolationData)]
    assert lengths[-1] == (10_000 if episodes == 1 else 3800)


def test_who_leaves_over_the_edge_is_not_waited_for() -> None:
    def leaver(t: float) -> tuple[float, float, float, str] | None:
        return (0.5 + 0.15 * t, 0.4, 0.08, "no_mask") if t < 3.2 else None

    results = scene([leaver], 5)

    assert said(play(judge_of(), results)) == ["started", "ended:track_lost"]


@pytest.mark.parametrize("fps", [5, 10])
def test_identity_survives_that_one_hides_the_other(fps: int) -> None:
    """They pass at x = 0.5; the farther one is not seen for about a second."""

    def near(t: float) -> tuple[float, float, float, str] | None:
        return (0.1 + 0.1 * t, 0.42, 0.09, "mask") if t < 8 else None

    def far(t: float) -> tuple[float, float, float, str] | None:
        x = 0.9 - 0.1 * t
        return (x, 0.40, 0.07, "no_mask") if t < 8 and abs(x - (0.1 + 0.1 * t)) > 0.09 else None

    events = play(judge_of(), scene([near, far], 16, fps=fps))

    assert said(events) == ["started", "ended:track_lost"]
    assert len({event.subject for event in events}) == 1


def test_a_crowd_that_fills_the_judge_does_not_keep_newcomers_out() -> None:
    def guest(number: int, start: float, row: float) -> Person:
        return lambda t: (0.03 + 0.06 * number, row, 0.03, "no_mask") if start <= t < start + 3 else None

    crowd = [guest(number, 0, row) for number in range(16) for row in (0.2, 0.6)]
    later = [guest(number, 5, 0.4) for number in range(16)]
    events = play(judge_of(), scene(crowd + later, 14))

    assert said(events).count("started") == said(events).count("ended:track_lost") == 48


def test_a_face_that_never_moves_is_flagged() -> None:
    events = play(judge_of(), scene([standing("no_mask", 0, 8), standing("no_mask", 0, 4, x=0.2)], 14))
    flags = [event.data.track.stationary for event in events if isinstance(event.data, ViolationData)]

    assert said(events) == ["started", "started", "ended:track_lost", "ended:track_lost"]
    assert flags == [False, False, False, True]


def test_quality_is_told_as_far_as_it_is_known() -> None:
    (started,) = play(judge_of(), scene([standing("no_mask")], 2))

    assert isinstance(started.data, ViolationData)
    assert started.data.quality.face_px == 123
    assert (started.data.quality.blur, started.data.quality.yaw, started.data.quality.occlusion) == (80.0, None, 0.0)
    assert started.data.undetermined_reason is None


def test_an_end_behind_somebodys_back_says_why_nothing_more_was_seen() -> None:
    judge = judge_of()
    events = play(judge, scene([then((3, "no_mask"), (9, "unsure"))], 9)) + judge.finish(1)

    assert isinstance(events[1].data, ViolationData)
    assert (events[1].data.verdict, events[1].data.undetermined_reason) == ("no_mask", "unsure")
