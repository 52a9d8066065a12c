"""The oracle: what a run over synthetic scenes should report, and how that compares with events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import ConfigError
from common.schema import FrameResult, Outcome
from common.siteplan import Camera
from maskwatch.run.looks import Looks
from maskwatch.run.oracle import Expected, compare, expected_episodes

EPOCH = 1_800_000_000.0
WINDOW = (EPOCH, EPOCH + 120)
CAMERAS = [
    Camera(id="gates", source=f"synthetic:gates?seed=2&epoch={EPOCH:.0f}"),
    Camera(id="hall", source=f"synthetic:hall?seed=5&epoch={EPOCH:.0f}"),
]


def text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(want: Expected, lifecycle: str, number: int, **changes: Any) -> dict[str, Any]:
    """One message of the episode that reports ``want`` as a judge would: confirmed half a second after it began."""
    seen_at = want.start + 0.5 if lifecycle == "started" else want.end
    place = want.visit.place_at(seen_at - want.epoch)
    facts: dict[str, Any] = {
        "camera": want.camera,
        "subject": f"episode-{number}",
        "box": place.box(want.aspect),
        "shift_s": 0.0,
    }
    facts |= changes
    shift = facts["shift_s"]
    return {
        "id": f"{facts['subject']}-{lifecycle}",
        "type": f"maskwatch.violation.{lifecycle}.v1",
        "subject": facts["subject"],
        "sequence": f"{number:012d}",
        "time": text(seen_at + shift),
        "data": {
            "lifecycle": lifecycle,
            "verdict": min(want.kinds),
            "camera": {"id": facts["camera"]},
            "object": {"bbox": list(facts["box"])},
            "started_at": text(want.start + shift),
            "ended_at": text(want.end + shift) if lifecycle == "ended" else None,
            "frame": {"captured_at": text(seen_at + shift)},
        },
    }


def all_events(wanted: Sequence[Expected]) -> list[dict[str, Any]]:
    return [event(want, kind, number) for number, want in enumerate(wanted) for kind in ("started", "ended")]


def demanded() -> list[Expected]:
    return [want for want in expected_episodes(CAMERAS, WINDOW) if not want.optional]


def test_expected_violations_are_the_scenes_uncovered_stretches() -> None:
    wanted = demanded()
    assert len(wanted) > 10
    for want in wanted:
        assert want.kinds <= {"no_mask", "incorrect"}
        assert WINDOW[0] < want.start < want.end < WINDOW[1]
        middle = (want.start + want.end) / 2 - EPOCH
        assert want.visit.state_at(middle) != "mask"


def test_events_that_report_every_stretch_agree_with_the_truth() -> None:
    comparison = compare(expected_episodes(CAMERAS, WINDOW), all_events(demanded()))
    assert comparison.agrees
    assert len(comparison.found) == len(comparison.expected) == len(demanded())
    assert all(match.kind_agrees for match in comparison.found)


def test_a_stretch_without_an_event_is_missing() -> None:
    wanted = demanded()
    comparison = compare(wanted, all_events(wanted[1:]))
    assert comparison.missing == (wanted[0],)
    assert not comparison.extra


def test_no_events_leave_everything_missing() -> None:
    assert len(compare(demanded(), []).missing) == len(demanded())


def test_an_event_that_was_delivered_twice_counts_once() -> None:
    wanted = demanded()
    assert compare(wanted, all_events(wanted) * 2).agrees


@pytest.mark.parametrize(
    "changes",
    [
        {"camera": "another"},
        {"box": (0.9, 0.9, 0.95, 0.99)},
        {"shift_s": 4000.0},
        {"subject": "a second episode of the same person"},
    ],
)
def test_an_event_that_nothing_explains_is_extra(changes: dict[str, Any]) -> None:
    wanted = demanded()
    false = [event(wanted[0], kind, 99, **({"subject": "false"} | changes)) for kind in ("started", "ended")]
    comparison = compare(wanted, all_events(wanted) + false)
    assert [episode.id for episode in comparison.extra] in ([changes.get("subject", "false")], ["episode-0"])
    assert not comparison.missing
    assert not comparison.agrees


def test_what_the_runs_begin_or_end_cuts_may_be_reported_or_not() -> None:
    want = demanded()[3]
    middle = (want.start + want.end) / 2
    for window in ((WINDOW[0], middle), (middle, WINDOW[1])):
        expected = expected_episodes(CAMERAS, window)
        cut = [one for one in expected if one.visit == want.visit and one.camera == want.camera]
        assert [one.optional for one in cut] == [True]
        without = all_events([one for one in expected if not one.optional])
        assert compare(expected, without).agrees
        both = compare(expected, [*without, event(want, "started", 77)])
        assert both.agrees
        assert len(both.optional) == 1


def test_cameras_other_than_synthetic_ones_have_no_truth() -> None:
    assert expected_episodes([Camera(id="file", source="video.mp4")], WINDOW) == []


def test_a_scene_without_an_epoch_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="epoch"):
        expected_episodes([Camera(id="gates", source="synthetic:gates?seed=2")], WINDOW)


def test_camera_messages_are_passed_over() -> None:
    status = {"type": "maskwatch.camera.status.v1", "id": "1", "subject": "gates", "data": {}}
    assert compare(demanded(), [status, *all_events(demanded())]).agrees


def test_what_was_hardly_looked_at_is_not_missing() -> None:
    wanted = demanded()
    gone, away = wanted[0], wanted[1]
    events = all_events(wanted[2:])
    comparison = compare(expected_episodes(CAMERAS, WINDOW), events)
    assert comparison.missing == (gone, away)
    parted = comparison.without_unseen(lambda camera, start, end: 0.5 if (camera, start, end) == _where(away) else 9.0)
    assert (parted.missing, parted.unseen) == ((gone,), (away,))
    assert not parted.agrees
    assert parted.without_unseen(lambda *_: 0.0).agrees


def _where(want: Expected) -> tuple[str, float, float]:
    return want.camera, want.start, want.end


def test_time_between_pictures_far_apart_was_not_seen() -> None:
    looks = Looks(lapse_s=1.0)
    for at in (0.0, 0.5, 1.0, 5.0, 5.5):
        looks.note(result("gates", at))
    looks.note(result("hall", 3.0))
    assert looks.seen_s("gates", 0.0, 6.0) == 2.0  # to 1.0, and from 5.0 to the end
    assert looks.seen_s("gates", 2.0, 4.0) == 0.0
    assert looks.seen_s("nowhere", 0.0, 6.0) == 0.0


def result(camera: str, captured_at: float) -> FrameResult:
    return FrameResult(
        camera=camera, session=1, seq=0, frame_id="1-0", outcome=Outcome.OK, captured_at=captured_at,
        published_at=captured_at, inferred_at=captured_at, width=640, height=360,
    )  # fmt: skip
