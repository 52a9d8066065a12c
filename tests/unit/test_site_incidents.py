"""Incidents of a zone that several cameras see."""

from __future__ import annotations

import pytest

from common.events import IncidentData
from tests.site_scenes import T0, a_plan, incidents, judge_of, play, seen, windows
from workers.site.engine import Entry, SiteJudge
from workers.site.state import SiteState

RULE = {"id": "crowd", "zone": "platform", "more_than": 2, "within_min": 1}


def test_people_before_different_cameras_add_up_and_time_closes() -> None:
    judge = judge_of()
    people = [seen(0, "a"), seen(10, "b", "gate-2"), seen(20, "c"), seen(30, "d", "gate-2")]
    told = play(judge, people, 200)
    events = [event for event in told if isinstance(event.data, IncidentData)]

    assert incidents(events) == ["opened:3", "updated:4", "closed:2"]
    numbers = [event.sequence for event in told if event.source == "/sites/west/zones/platform"]
    assert numbers == [f"{number:012d}" for number in range(len(numbers))]
    assert {event.source for event in events} == {"/sites/west/zones/platform"}
    assert len({event.subject for event in events}) == 1
    assert len({event.id for event in events}) == 3
    closed = events[-1].data
    assert isinstance(closed, IncidentData)
    assert (closed.camera, closed.cameras, closed.zone) == (None, ["gate-1", "gate-2"], "platform")
    assert (closed.peak, closed.more_than, closed.within_ms) == (4, 2, 60_000)
    assert events[-1].time == "2026-09-21T14:21:10.000Z"  # a minute after the second person of four


def test_an_episode_counts_once_however_many_messages_it_has() -> None:
    people = [seen(second, "a", lifecycle="updated") for second in range(1, 20)] + [seen(0, "a")]

    assert incidents(play(judge_of(), people, 100)) == []


def test_a_zone_counts_its_own_people_and_verdicts() -> None:
    elsewhere = [seen(n, f"p{n}", zones={"current": ["stairs"]}) for n in range(9)]
    covered = [seen(n, f"q{n}", verdict="incorrect") for n in range(9)]

    assert incidents(play(judge_of(), elsewhere + covered, 100)) == []
    wide = judge_of(incidents=[RULE | {"verdicts": ["incorrect"]}])
    assert incidents(play(wide, covered, 10))[0] == "opened:3"


@pytest.mark.parametrize(("merge_s", "story"), [(0, ["opened:3", "updated:4"]), (3, [])])
def test_two_cameras_episodes_are_one_person_where_the_plan_says_so(merge_s: float, story: list[str]) -> None:
    judge = judge_of(incidents=[RULE | {"merge_s": merge_s}])
    people = [seen(0, "a"), seen(2, "b", "gate-2"), seen(10, "c", "gate-2"), seen(18, "d")]
    people[3] = seen(12, "d")

    assert incidents(play(judge, people, 25)) == story


def test_one_camera_sees_two_people_as_two_however_close_in_time() -> None:
    judge = judge_of(incidents=[RULE | {"merge_s": 60}])
    people = [seen(0, "a"), seen(0.1, "b"), seen(0.2, "c"), seen(0.3, "d", "gate-2"), seen(0.4, "e", "gate-2")]

    assert incidents(play(judge, people, 10)) == ["opened:3"]


def test_a_rule_that_the_plan_drops_closes_its_incident() -> None:
    judge = judge_of()
    play(judge, [seen(n, f"p{n}") for n in range(3)], 3)
    judge.follow(a_plan(incidents=[]), T0 + 4000)

    assert incidents(event for event, _ in judge.events) == ["opened:3", "closed:0"]
    assert judge.state.crowds == {}


def test_where_only_counts_may_arise_nobody_is_an_incident() -> None:
    plan = {"privacy": {"mode": "statistics"}, "statistics": {"window_min": 30}}

    assert incidents(play(judge_of(**plan), [seen(n, f"p{n}") for n in range(9)], 100)) == []


def test_two_incidents_of_a_rule_have_different_names() -> None:
    people = [seen(at, f"p{at}") for at in (0, 1, 2, 100, 101, 102)]
    opened = [event.subject for event in play(judge_of(), people, 103) if "opened" in event.type]

    assert len(set(opened)) == 2


def test_a_site_stage_that_takes_over_goes_on_exactly() -> None:
    people = [seen(at, f"p{at}", f"gate-{1 + at % 2}") for at in (*range(0, 12, 2), *range(50, 70, 5))]
    whole, events, state = judge_of(), [], SiteState()
    for entry in people:
        parts = state.to_parts()
        judge = SiteJudge(a_plan(), SiteState.from_parts(parts))
        assert judge.state.to_parts() == parts
        events += play(judge, [entry], 0)
        state = judge.state

    assert [event.to_json() for event in events] == [event.to_json() for event in play(whole, people, 0)]
    assert len(incidents(events)) > 3
    assert windows(events)


def test_an_entry_that_is_no_event_is_counted_and_passed() -> None:
    judge = judge_of()
    kind = seen(0, "a").fields[b"type"]
    play(judge, [Entry(T0, 0, "events 0", {b"event": b"{", b"type": kind}), seen(1, "a")], 2)

    assert judge.noted.refused == {("events", "schema"): 1}
    assert len(judge.state.crowds) == 1


def test_a_zone_that_no_camera_draws_any_more_still_ends_its_incident() -> None:
    judge = judge_of()
    play(judge, [seen(n, f"p{n}") for n in range(3)], 3)
    judge.follow(a_plan(cameras=["other"], zones=[{"id": "platform"}]), T0 + 4000)
    play(judge, [], 100)

    assert incidents(event for event, _ in judge.events) == ["opened:3", "closed:2"]
