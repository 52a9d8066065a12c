"""The stored state: exact, small, and refused where it is not ours."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import WireError
from common.schema import FrameResult, MarkResult
from tests.judge_scenes import Person, a_mark, a_result, entry_ms, play, scene, the_context
from workers.judge.engine import CameraJudge
from workers.judge.state import CameraState, read_accounting

people = st.lists(
    st.tuples(st.floats(0, 12), st.floats(1, 8), st.floats(0.1, 0.9), st.floats(-0.1, 0.1), st.integers(0, 2**16)),
    min_size=1,
    max_size=4,
)


def walker(start: float, length: float, x: float, vx: float, seed: int) -> Person:
    """Somebody with a wandering label."""
    chance = random.Random(seed)
    labels = [chance.choice(["mask", "no_mask", "no_mask", "incorrect", "unsure"]) for _ in range(12)]

    def person(t: float) -> tuple[float, float, float, str] | None:
        if not start <= t < start + length:
            return None
        return (x + vx * (t - start), 0.45, 0.05, labels[int(t / 2.5) % 12])

    return person


def a_story(crowd: list[tuple[float, float, float, float, int]]) -> list[tuple[int, FrameResult | MarkResult]]:
    results = scene([walker(*one) for one in crowd], 16)
    story: list[tuple[int, FrameResult | MarkResult]] = [(entry_ms(result), result) for result in results]
    story.insert(0, (entry_ms(results[0]), a_mark(0, 0)))
    story.insert(50, (entry_ms(results[49]), a_mark(49, 9.8, "frozen")))
    story.insert(60, (entry_ms(results[57]), a_mark(57, 11.4)))
    return [*story, (entry_ms(results[-1]) + 5, a_mark(80, 16, final=True))]


@settings(max_examples=60, deadline=None)
@given(crowd=people, cuts=st.sets(st.integers(0, 82), max_size=6))
def test_a_judge_that_takes_over_goes_on_exactly(
    crowd: list[tuple[float, float, float, float, int]], cuts: set[int]
) -> None:
    story = a_story(crowd)
    whole = CameraJudge(the_context(cooldown_s=1), CameraState())
    parts = CameraJudge(the_context(cooldown_s=1), CameraState())
    for index, (now_ms, message) in enumerate(story):
        if index in cuts:
            stored = parts.state.to_bytes()
            parts = CameraJudge(parts.context, CameraState.from_bytes(stored))
            assert parts.state.to_bytes() == stored
        assert [e.to_json() for e in parts.accept(message, now_ms)] == [
            e.to_json() for e in whole.accept(message, now_ms)
        ]

    assert parts.state.to_bytes() == whole.state.to_bytes()


@settings(max_examples=60, deadline=None)
@given(crowd=people, seed=st.integers(0, 2**32))
def test_repeats_and_overtaking_by_up_to_five_frames_change_no_event(
    crowd: list[tuple[float, float, float, float, int]], seed: int
) -> None:
    chance = random.Random(seed)
    results = scene([walker(*one) for one in crowd], 16)
    keyed = [(result.seq + chance.uniform(0, 5), result) for result in results]
    keyed += [(key + chance.uniform(0.1, 20), result) for key, result in keyed if chance.random() < 0.3]
    shaken = [result for _, result in sorted(keyed, key=lambda pair: pair[0])]
    straight, crooked = (CameraJudge(the_context(cooldown_s=1), CameraState()) for _ in range(2))
    expected = [event for result in results for event in straight.accept(result, 1000)]
    found = [event for result in shaken for event in crooked.accept(result, 1000)]
    expected += straight.accept(a_mark(80, 16, final=True), 1000)
    found += crooked.accept(a_mark(80, 16, final=True), 1000)

    assert [event.to_json() for event in found] == [event.to_json() for event in expected]
    assert crooked.state.book.processed == 80


@settings(max_examples=40, deadline=None)
@given(crowd=people, seed=st.integers(0, 2**32))
def test_a_takeover_that_reads_waiting_results_again_changes_no_event(
    crowd: list[tuple[float, float, float, float, int]], seed: int
) -> None:
    """The next judge starts at the stored position, below what waited, and gets marks and results a second time."""
    chance = random.Random(seed)
    story = [message for _, message in a_story(crowd)]
    shaken = sorted(range(len(story)), key=lambda index: index + chance.uniform(0, 3))
    entries = [((1000, number), story[index]) for number, index in enumerate(shaken)]
    whole = CameraJudge(the_context(), CameraState())
    expected = [event.id for entry, message in entries for event in whole.accept(message, 1000, entry)]
    judge, found, position = CameraJudge(the_context(), CameraState()), [], 0
    while position < len(entries):
        reach = min(len(entries), position + chance.randint(1, 20))
        for entry, message in entries[position:reach]:
            found += [event.id for event in judge.accept(message, 1000, entry)]
        held = judge.held_from()
        if chance.random() < 0.5:
            judge = CameraJudge(judge.context, CameraState.from_bytes(judge.state.to_bytes()))
            position = reach if held is None else held[1]
        else:
            position = reach

    assert found == expected


def test_a_crowd_fits_into_four_kilobytes() -> None:
    chance = random.Random(7)
    drifts = [chance.uniform(-0.002, 0.002) for _ in range(32)]

    def one_of(number: int) -> Person:
        x, y, drift = 0.03 + 0.06 * (number % 16), 0.3 + 0.3 * (number // 16), drifts[number]
        return lambda t: (x + drift * t, y, 0.04 + drift, chance.choice(["no_mask", "no_mask", "incorrect"]))

    crowd = [one_of(number) for number in range(32)]
    judge = CameraJudge(the_context(), CameraState())
    events = play(judge, scene(crowd, 6))
    raw = judge.state.to_bytes()

    assert len(judge.state.tracks) == 32
    assert len({event.subject for event in events}) == 32
    assert len(raw) <= 4096


@pytest.mark.parametrize("raw", [b"", b"no state", b"{}", b'{"v":2}', b"{", b"x\x9c\x00"])
def test_a_foreign_state_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="judge state"):
        CameraState.from_bytes(raw)


def test_the_accounting_is_read_from_stored_bytes() -> None:
    judge = CameraJudge(the_context(), CameraState())
    for seq in (0, 1, 3):
        judge.accept(a_result(seq, outcome="skipped" if seq == 1 else "ok"), 1000)
    judge.tick(1400)
    account = read_accounting(judge.state.to_bytes())

    assert (account.published, account.processed, account.dropped) == (4, 2, {"stale": 1, "trimmed": 1})
