"""Which face of a frame continues which track."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.judge.limits import Limits
from workers.judge.tracker import Face, Frame, Sight, Track, assign, face_of, is_echo

SIGHT = Sight(Frame("1-0", 1280, 720, 0, 0, 0), (0.0, 0.0, 0.1, 0.1), 0.9, None)
W, H = 0.05, 0.1


def a_track(x: float, y: float = 0.5, vx: float = 0.0, hits: int = 9) -> Track:
    return Track(1, 0, 0, hits, 0, 0, 1000, x, y, W, H, vx, 0.0, SIGHT)


def faces(*xs: float) -> list[Face]:
    return [Face(x, 0.5, W, H) for x in xs]


@pytest.mark.parametrize(
    ("tracks", "seen", "chosen"),
    [
        ([], [], []),
        ([], [0.5], [-1]),
        ([0.5], [], []),
        ([0.5], [0.51], [0]),
        ([0.5], [0.9], [-1]),
        ([0.2, 0.8], [0.8, 0.2], [1, 0]),
        ([0.2, 0.8], [0.5, 0.8, 0.2], [-1, 1, 0]),
        ([0.50, 0.56], [0.53, 0.59], [0, 1]),  # the best sum, not the nearest first
    ],
)
def test_assignment(tracks: list[float], seen: list[float], chosen: list[int]) -> None:
    assert assign([a_track(x) for x in tracks], faces(*seen), 1200) == chosen


def test_people_who_pass_are_told_apart_by_their_speed() -> None:
    right, left = a_track(0.48, vx=0.2), a_track(0.52, vx=-0.2)

    assert assign([right, left], faces(0.48, 0.52), 1200) == [1, 0]


@pytest.mark.parametrize(("dt_ms", "reached"), [(100, False), (333, True)])
def test_the_longer_the_pause_the_farther_a_face_may_have_moved(dt_ms: int, reached: bool) -> None:
    chosen = assign([a_track(0.5)], faces(0.5 + 1.8 * W), 1000 + dt_ms)

    assert (chosen == [0]) is reached


def test_a_face_of_quite_another_size_is_somebody_else() -> None:
    assert assign([a_track(0.5)], [Face(0.5, 0.5, 3 * W, 3 * H)], 1200) == [-1]


def test_a_track_learns_its_speed() -> None:
    track = a_track(0.2, hits=1)
    for step in range(1, 12):
        track.see(Face(round(0.2 + 0.02 * step, 5), 0.5, W, H), 1000 + 200 * step)

    assert track.vx == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("hits", "misses", "unseen_ms", "gone"),
    [
        (1, 2, 700, False),
        (1, 2, 701, True),
        (5, 3, 1500, False),
        (5, 3, 1501, True),
        (5, 1, 3000, False),
        (5, 1, 6001, True),
    ],
)
def test_when_a_person_has_left(hits: int, misses: int, unseen_ms: int, gone: bool) -> None:
    track = replace(a_track(0.5, hits=hits), misses=misses)

    assert track.gone(1000 + unseen_ms, Limits()) is gone


def test_a_second_box_on_a_face_is_an_echo() -> None:
    face = face_of((0.4, 0.4, 0.5, 0.6))

    assert is_echo(face_of((0.41, 0.42, 0.5, 0.6)), [face])
    assert not is_echo(face_of((0.52, 0.4, 0.62, 0.6)), [face])
    assert not is_echo(face, [])
