"""Which pictures are kept, when a gate opens, and how long a pause is."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.schema import CameraState
from maskwatch.status.situation import WINDOW_S
from producers.backoff import Backoff
from producers.motion import MotionGate
from producers.pacing import Pacer
from producers.picture_state import Condition
from producers.settings import ProducerSettings
from producers.sources.source import Image
from producers.tally import OFFLINE_BEATS, Tally
from workers.judge.limits import DEFAULT_LIMITS


def kept(pacer: Pacer, times: list[float]) -> list[float]:
    return [at for at in times if pacer.keep(at)]


@given(st.integers(1, 30), st.integers(5, 60), st.floats(0, 2e9))
def test_a_faster_source_is_thinned_to_the_wanted_rate_without_drift(fps: int, source: int, start: float) -> None:
    times = [start + number / source for number in range(source * 60)]
    expected = 60 * min(fps, source)
    assert abs(len(kept(Pacer(fps), times)) - expected) <= 2


def test_thinning_is_even() -> None:
    times = kept(Pacer(5), [number / 30 for number in range(300)])
    gaps = {round(30 * (later - earlier)) for earlier, later in pairwise(times[1:])}
    assert gaps == {6}


@given(st.integers())
def test_a_source_at_the_wanted_rate_loses_nothing_to_jitter(seed: int) -> None:
    rng = random.Random(seed)
    times = [number / 10 + rng.uniform(-0.02, 0.02) for number in range(500)]
    assert len(kept(Pacer(10), times)) == 500


def test_no_burst_follows_a_pause_and_a_clock_set_back_does_no_harm() -> None:
    pacer = Pacer(5)
    assert kept(pacer, [0.0])
    assert len(kept(pacer, [60 + number / 100 for number in range(20)])) <= 2
    assert len(kept(pacer, [10 + number / 10 for number in range(100)])) == pytest.approx(50, abs=2)


def test_pauses_double_up_to_a_bound_with_jitter_and_start_again_after_success() -> None:
    backoff = Backoff(0.5, 30, random.Random(1))
    pauses = [backoff.next_s() for _ in range(12)]
    bounds = [min(30, 0.5 * 2**number) for number in range(12)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) == 12
    backoff.reset()
    assert backoff.next_s() <= 0.5


def _grey(seed: int, square: int | None = None) -> Image:
    picture = np.full((180, 320), 100, np.int16) + np.random.default_rng(seed).integers(-4, 5, (180, 320))
    if square is not None:
        picture[60:100, square : square + 30] = 220
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def test_sensor_noise_does_not_open_the_motion_gate_but_keeps_a_sign_of_life() -> None:
    gate = MotionGate()
    passed = [number / 10 for number in range(100) if gate.admit(_grey(number), number / 10)]
    assert len(passed) == pytest.approx(10, abs=2)


def test_motion_opens_the_gate_and_holds_it_open_for_a_while() -> None:
    gate = MotionGate()
    for number in range(20):
        gate.admit(_grey(number), number / 10)
    assert all(gate.admit(_grey(number, square=number * 5), number / 10) for number in range(20, 40))
    still = [gate.admit(_grey(number, square=195), number / 10) for number in range(40, 80)]
    assert all(still[:8])
    assert sum(still[15:]) <= 4


def test_motion_too_slow_to_see_between_two_pictures_adds_up() -> None:
    gate = MotionGate()
    passed = sum(gate.admit(_grey(0, square=100 + number // 10), number / 25) for number in range(100))
    assert passed >= 5


def test_a_mark_is_due_on_change_and_as_a_heartbeat_until_the_broker_has_taken_it() -> None:
    tally = Tally(2.0, 0.0)
    online = Condition(CameraState.ONLINE, 0.0)
    assert tally.due(online, 0.0)
    assert tally.due(online, 0.1)
    tally.said(online, 0.1)
    assert not tally.due(online, 2.0)
    assert tally.due(online, 2.1)
    assert tally.due(Condition(CameraState.DARK, 0.5), 0.5)


def test_an_offline_camera_is_told_of_twice_at_the_usual_pace_and_then_more_rarely() -> None:
    tally = Tally(2.0, 0.0)
    offline = Condition(CameraState.OFFLINE, 0.0)
    tally.said(offline, 0.0)
    assert tally.due_in_s(offline, 1.0) == 1.0
    assert tally.due(offline, 2.0)
    tally.said(offline, 2.0)
    assert tally.due_in_s(offline, 4.0) == 5.0
    assert not tally.due(offline, 8.9)
    assert tally.due(offline, 9.0)
    assert tally.due(Condition(CameraState.ONLINE, 3.0), 3.0)
    tally.said(offline, 9.0)
    tally.said(Condition(CameraState.OFFLINE, 9.0, "another cause"), 9.0)
    assert tally.due_in_s(None, 9.0) == 0


def test_what_an_offline_camera_is_silent_for_is_less_than_what_the_judge_calls_silent() -> None:
    assert OFFLINE_BEATS * ProducerSettings().heartbeat_s <= DEFAULT_LIMITS.silent_ms / 1000 - 1
    assert OFFLINE_BEATS * ProducerSettings().heartbeat_s < WINDOW_S


def test_the_rate_of_frames_is_measured_over_half_a_heartbeat_or_more() -> None:
    tally = Tally(2.0, 0.0)
    for _ in range(10):
        tally.count()
    assert tally.measure(0.5) == 0
    assert tally.measure(2.0) == 5
    assert tally.measure(2.5) == 5
