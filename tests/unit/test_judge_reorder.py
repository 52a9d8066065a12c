"""Order, gaps, duplicates and sessions of one camera's results."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.resultrecord import Result
from common.schema import FrameResult, MarkResult, Outcome
from tests.judge_scenes import SESSION, a_mark, a_result, said, the_context
from workers.judge.accounting import Accounting, Book
from workers.judge.engine import CameraJudge
from workers.judge.limits import Limits
from workers.judge.reorder import Reorder
from workers.judge.state import CameraState


def order(**limits: int) -> Reorder:
    reorder = Reorder(Book(), Limits(**limits))
    reorder.book.turn(SESSION)
    return reorder


def seqs(results: Sequence[Result]) -> list[int]:
    return [result.seq for result in results]


@pytest.mark.parametrize(
    ("arriving", "released", "trimmed", "duplicates"),
    [
        ([], [], 0, 0),
        ([0, 1, 2], [0, 1, 2], 0, 0),
        ([1, 0, 2], [0, 1, 2], 0, 0),
        ([5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], 0, 0),
        ([0, 0, 1, 1], [0, 1], 0, 2),
        ([1, 1, 0], [0, 1], 0, 1),
        ([0, 2, 3, 4, 5, 6, 7], [0, 2, 3, 4, 5, 6, 7], 1, 0),  # the sixth that waits is one too many
        ([9, 10, 11, 12, 13, 14], [9, 10, 11, 12, 13, 14], 9, 0),
        ([0, 2, 3, 4, 5, 6], [0], 0, 0),  # five wait
    ],
)
def test_each_frame_once_and_in_order(arriving: list[int], released: list[int], trimmed: int, duplicates: int) -> None:
    reorder = order()
    found = [seq for seq_in in arriving for seq in seqs(reorder.offer(a_result(seq_in), 1000, (1000, seq_in)))]

    assert found == released
    assert reorder.book.dropped.get("trimmed", 0) == trimmed
    assert reorder.book.duplicates == duplicates


def test_a_missing_frame_is_waited_for_300_ms() -> None:
    reorder = order()
    reorder.offer(a_result(0), 1000, (1000, 0))
    reorder.offer(a_result(2), 1100, (1100, 0))
    reorder.offer(a_result(4), 1200, (1200, 0))

    assert seqs(reorder.release_due(1399)) == []
    assert seqs(reorder.release_due(1400)) == [2]
    assert reorder.held_from() == (1200, 0)
    assert seqs(reorder.release_due(1500)) == [4]
    assert reorder.book.dropped == {"trimmed": 2}
    assert reorder.held_from() is None


def test_the_position_may_not_pass_what_waits() -> None:
    reorder = order()
    assert reorder.held_from() is None
    reorder.offer(a_result(3), 1100, (1100, 2))
    reorder.offer(a_result(2), 1100, (1100, 3))
    assert reorder.held_from() == (1100, 2)
    reorder.offer(a_result(0), 1200, (1200, 0))
    assert reorder.held_from() == (1100, 2)
    reorder.offer(a_result(1), 1200, (1200, 1))
    assert reorder.held_from() is None


@pytest.mark.parametrize(
    ("outcome", "reason", "dropped"),
    [
        (Outcome.OK, "", {"late": 1, "trimmed": 1}),
        (Outcome.SKIPPED, "stale", {"stale": 1, "trimmed": 1}),
        (Outcome.REJECTED, "magic", {"rejected_magic": 1, "trimmed": 1}),
    ],
)
def test_a_frame_given_up_that_comes_late_is_counted_by_its_own_reason(
    outcome: Outcome, reason: str, dropped: dict[str, int]
) -> None:
    reorder = order()
    assert seqs(reorder.give_up(2)) == []
    late = a_result(1, outcome=outcome, reason=reason)
    assert reorder.offer(late, 1000, (1000, 0)) == []
    assert reorder.offer(late, 1000, (1000, 1)) == []

    assert reorder.book.dropped == dropped
    assert (reorder.book.late, reorder.book.duplicates) == (1, 1)
    assert reorder.book.balance().unaccounted == 0


def test_a_larger_session_is_new_and_flushes_the_old_one() -> None:
    judge = CameraJudge(the_context(), CameraState())
    judge.accept(a_result(0), 1000)
    judge.accept(a_result(2), 1000)
    judge.accept(a_result(0, session=SESSION + 1), 1010)
    account = judge.state.book.balance()

    assert (account.published, account.processed, account.dropped) == (4, 3, {"trimmed": 1})


@pytest.mark.parametrize(("pause_ms", "processed"), [(9_999, 1), (10_000, 2)])
def test_a_smaller_session_takes_over_only_from_a_silent_one(pause_ms: int, processed: int) -> None:
    judge = CameraJudge(the_context(), CameraState())
    judge.accept(a_result(0, session=SESSION), 1000)
    judge.accept(a_result(0, session=SESSION - 5000), 1000 + pause_ms)

    assert judge.state.book.processed == processed


def test_the_tail_of_the_last_session_is_counted_when_it_comes_late() -> None:
    judge = CameraJudge(the_context(), CameraState())
    judge.accept(a_result(0), 1000)
    judge.accept(a_result(0, session=SESSION + 1), 1010)
    judge.accept(a_result(2), 1020)
    judge.accept(a_result(1), 1030)
    judge.accept(a_mark(4, 1, final=True, dropped={"full": 2}), 1040)
    account = judge.state.book.balance()

    assert account.captured == 1 + 4 + 2
    assert account.all_dropped() == {"late": 2, "trimmed": 1, "full": 2}
    assert account.unaccounted == 0


def test_a_heartbeat_reveals_a_trimmed_tail_after_its_time() -> None:
    judge = CameraJudge(the_context(), CameraState())
    judge.accept(a_result(0), 1000)
    judge.accept(a_mark(5, 1), 1100)
    judge.accept(a_mark(5, 3), 3100)
    assert judge.state.book.balance().unaccounted == 4
    judge.tick(4099)
    assert judge.state.book.balance().unaccounted == 4
    judge.tick(4100)

    assert judge.state.book.balance().dropped == {"trimmed": 4}


def test_an_old_mark_that_comes_again_changes_nothing() -> None:
    judge = CameraJudge(the_context(), CameraState())
    events = judge.accept(a_mark(0, 0), 1000)
    events += judge.accept(a_mark(0, 1, "offline"), 1100)
    events += judge.accept(a_mark(0, 0), 1200)
    events += judge.accept(a_mark(0, 1, "offline"), 1300)

    assert said(events) == ["camera:online", "camera:offline"]


def test_accounts_add_up_across_cameras() -> None:
    one = Accounting(10, 7, {"stale": 3}, {"full": 1}, 2, 0)
    two = Accounting(5, 4, {}, {"full": 2, "oom": 1}, 0, 1)
    both = one + two

    assert both.captured == 19
    assert both.all_dropped() == {"stale": 3, "full": 3, "oom": 1}
    assert both.unaccounted == 1


outcomes = st.sampled_from([("ok", ""), ("skipped", "stale"), ("rejected", "magic"), ("dead", "")])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_arrives_in_whatever_order_adds_up(data: st.DataObject) -> None:
    """Any loss, repetition and order of three sessions: after an orderly end nothing is unaccounted."""
    judge = CameraJudge(the_context(), CameraState())
    now = 1000
    messages: list[FrameResult | MarkResult] = []
    for number in range(data.draw(st.integers(1, 3))):
        frames = data.draw(st.lists(st.tuples(st.integers(0, 30), outcomes), max_size=40))
        session = SESSION + number
        messages += [a_result(s, session=session, outcome=o, reason=r) for s, (o, r) in frames]
        messages.append(a_mark(31, number, session=session, final=True, dropped={"full": number}))
    for message in data.draw(st.permutations(messages)):
        now += data.draw(st.integers(0, 400))
        judge.accept(message, now)
    judge.tick(now + 4000)
    account = judge.state.book.balance()

    assert account.unaccounted == 0
    assert account.captured == account.processed + sum(account.all_dropped().values())
    assert all(count > 0 for count in account.dropped.values())
