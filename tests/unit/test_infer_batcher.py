"""The batcher: when a batch leaves, what is let go, and that every frame comes out exactly once."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.infer.batcher import Batcher, BatchLimits


@dataclass(frozen=True)
class Item:
    camera: str
    published_at: float
    number: int = 0


LIMITS = BatchLimits(max_size=4, max_wait_s=0.02, max_age_s=2.0, max_waiting=8)


def items(camera: str, count: int, at: float = 100.0) -> list[Item]:
    return [Item(camera, at, number) for number in range(count)]


def test_a_full_batch_leaves_at_once_and_a_small_one_after_its_wait() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    assert batcher.due_in_s(0.0) is None
    batcher.add(items("a", 3), now=10.0)
    assert batcher.take(10.01) == []
    assert abs((batcher.due_in_s(10.01) or 0) - 0.01) < 1e-9
    assert batcher.take(10.02) == items("a", 3)
    batcher.add(items("a", 5), now=11.0)
    assert batcher.take(11.0) == items("a", 5)[:4]
    assert len(batcher) == 1


def test_old_frames_are_let_go_and_only_they() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add([Item("a", 97.9), Item("a", 98.1)], now=0.0)
    shed = batcher.shed(broker_now=100.0)
    assert shed.stale == [Item("a", 97.9)]
    assert shed.overtaken == []
    assert len(batcher) == 1


def test_the_newest_of_each_camera_stay_in_fair_shares() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(items("a", 20) + items("b", 2) + items("c", 5), now=0.0)
    shed = batcher.shed(100.0)
    kept = batcher.take(0.0) + batcher.take(0.0)
    assert len(shed.overtaken) == 27 - 8
    assert {c: sorted(i.number for i in kept if i.camera == c) for c in "abc"} == {
        "a": [17, 18, 19],
        "b": [0, 1],
        "c": [2, 3, 4],
    }


def test_more_cameras_than_room_still_fill_the_room() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add([Item(f"c{n}", 100.0) for n in range(20)], now=0.0)
    assert len(batcher.shed(100.0).overtaken) == 12
    assert len(batcher) == 8


frames = st.builds(Item, st.sampled_from("abcd"), st.floats(95, 101), st.integers(0, 9))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(frames, max_size=12), max_size=8))
def test_every_frame_comes_out_exactly_once_and_in_order_within_its_camera(arrivals: list[list[Item]]) -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    out: list[Item] = []
    looked_at: list[Item] = []
    total = 0
    for step, some in enumerate(arrivals):
        wave = [Item(item.camera, item.published_at, total + place) for place, item in enumerate(some)]
        total += len(wave)
        batcher.add(wave, float(step))
        shed = batcher.shed(100.0)
        batch = batcher.take(float(step))
        assert len(batch) <= LIMITS.max_size
        assert len(batcher) <= LIMITS.max_waiting
        looked_at += batch
        out += shed.stale + shed.overtaken + batch
    while len(batcher):
        batch = batcher.take(1e9)
        looked_at += batch
        out += batch
    assert sorted(item.number for item in out) == list(range(total))
    for camera in "abcd":
        order = [item.number for item in looked_at if item.camera == camera]
        assert order == sorted(order)


def test_under_lasting_overload_no_camera_gets_less_than_its_share() -> None:
    """Cameras are always read in the same order, twice as many frames as there are places."""
    batcher: Batcher[Item] = Batcher(LIMITS)
    cameras = [f"c{number}" for number in range(5)]
    looked_at = dict.fromkeys(cameras, 0)
    for turn in range(60):
        batcher.add([Item(camera, 100.0, turn) for camera in cameras for _ in range(2)], now=float(turn))
        batcher.shed(100.0)
        for item in batcher.take(float(turn)):
            looked_at[item.camera] += 1
    fair = sum(looked_at.values()) / len(cameras)
    assert min(looked_at.values()) >= 0.9 * fair
