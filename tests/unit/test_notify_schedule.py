"""When deliveries are tried again, and in which order; hours pass here without waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.subscription import Event
from workers.notify.lanes import Delivery, Lanes
from workers.notify.outcome import Outcome
from workers.notify.schedule import Schedule

HOUR_S = 3600.0


def event(camera: str, number: int, partition: int = 0) -> Event:
    """An event whose entry id grows with its number."""
    body = {"id": f"{camera}-{number}", "source": "", "type": "t", "data": {}}
    return Event(body, b"", f"{camera}-{number}", "t", camera, partition, f"{1000 + number}-0")  # type: ignore[arg-type]


def lanes_of(*events: Event, schedule: Schedule | None = None) -> Lanes:
    """Lanes that hold these events since time 0."""
    lanes = Lanes(schedule or Schedule(), jitter=lambda: 1.0)
    before = "0-0"
    for one in events:
        lanes.add(one, before, 0)
        before = one.entry_id
    return lanes


def tried(lanes: Lanes, now: float) -> Delivery:
    """The delivery due now; there must be one."""
    delivery = lanes.due(now)
    assert delivery is not None
    return delivery


def test_pauses_double_to_their_limit_and_no_further() -> None:
    schedule = Schedule(1, 60, HOUR_S)
    assert [schedule.pause_s(failures, 1) for failures in (1, 2, 3, 6, 7, 8, 5000)] == [1, 2, 4, 32, 60, 60, 60]


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_at_most_half_of_a_pause(failures: int, jitter: float) -> None:
    full = Schedule().pause_s(failures, 1)
    assert full / 2 <= Schedule().pause_s(failures, jitter) <= full


def test_an_event_is_tried_for_a_day_and_then_given_up() -> None:
    """Attempts go on through 24 hours at most a minute apart; the last of them is said to be the last."""
    lanes = lanes_of(event("a", 1))
    now, attempts, pauses = 0.0, 0, []
    while True:
        outcome = lanes.record(tried(lanes, now), Outcome.HTTP_ERROR, now)
        attempts += 1
        if outcome is Outcome.EXPIRED:
            break
        pauses.append(lanes.wait_s(now))
        now += pauses[-1]
    assert 24 * HOUR_S <= now <= 24 * HOUR_S + 60
    assert max(pauses) == 60
    assert attempts > 24 * 60
    assert lanes.pending == 0


def test_a_receiver_that_was_down_ten_minutes_gets_everything_within_a_minute() -> None:
    """With 40 cameras waiting, all are delivered at most 60 s after the receiver is back, each camera in order."""
    cameras = [f"c{number}" for number in range(40)]
    lanes = lanes_of(*(event(camera, number) for number in range(3) for camera in cameras))
    now, delivered, attempts_while_down = 0.0, [], 0
    while lanes.pending:
        now += lanes.wait_s(now)
        delivery = tried(lanes, now)
        if now < 600:
            attempts_while_down += 1
            lanes.record(delivery, Outcome.UNREACHABLE, now)
        else:
            delivered.append(delivery.event)
            lanes.record(delivery, Outcome.DELIVERED, now)
    assert now <= 660
    assert attempts_while_down < 30, "a receiver that is down is probed, not stormed by every camera"
    for camera in cameras:
        assert [one.id for one in delivered if one.camera == camera] == [f"{camera}-{number}" for number in range(3)]


def test_a_camera_whose_event_is_refused_holds_up_no_other() -> None:
    lanes = lanes_of(event("bad", 1), event("good", 2), event("bad", 3), event("good", 4))
    done = []
    while (delivery := lanes.due(0)) is not None:
        outcome = Outcome.HTTP_ERROR if delivery.event.camera == "bad" else Outcome.DELIVERED
        lanes.record(delivery, outcome, 0)
        done.append((delivery.event.id, outcome.value))
    assert sorted(done) == [("bad-1", "http_error"), ("good-2", "delivered"), ("good-4", "delivered")]
    assert lanes.wait_s(0) == 1
    assert tried(lanes, 1).event.id == "bad-1"


def test_the_cursor_stays_before_the_oldest_undelivered_event() -> None:
    lanes = lanes_of(event("a", 1), event("b", 2), event("c", 3))
    read = {0: "1003-0", 1: "7-0"}
    first, second, third = (tried(lanes, 0) for _ in range(3))
    lanes.record(third, Outcome.DELIVERED, 0)
    assert lanes.cursors(read) == {0: "0-0", 1: "7-0"}
    assert lanes.oldest_ms() == 1001
    lanes.record(first, Outcome.DELIVERED, 0)
    assert lanes.cursors(read) == {0: "1001-0", 1: "7-0"}
    lanes.record(second, Outcome.DELIVERED, 0)
    assert lanes.cursors(read) == read
    assert lanes.oldest_ms() is None
