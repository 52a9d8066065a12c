"""Which face of a frame continues which track."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.judge.limits import Limits
from workers.judge.matching import assign, is_echo
from workers.judge.tracker import Face, Frame, Sight, Track, face_of
from workers.judge.votes import MASK, NO_MASK

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
    ("x", "hits", "misses", "unseen_ms", "gone"),
    [
        (0.5, 1, 2, 700, False),
        (0.5, 1, 2, 701, True),
        (0.02, 5, 3, 1500, False),
        (0.02, 5, 3, 1501, True),  # at the edge
        (0.5, 5, 3, 3500, False),  # in mid picture
        (0.5, 5, 3, 3501, True),
        (0.5, 5, 1, 5000, False),
        (0.5, 5, 1, 6001, True),
        (0.02, 5, 1, 3000, False),
    ],
)
def test_when_a_person_has_left(x: float, hits: int, misses: int, unseen_ms: int, gone: bool) -> None:
    track = replace(a_track(x, hits=hits), misses=misses)

    assert track.gone(1000 + unseen_ms, Limits()) is gone


def test_a_second_box_on_a_face_is_an_echo() -> None:
    face = face_of((0.4, 0.4, 0.5, 0.6))

    assert is_echo(face_of((0.41, 0.42, 0.5, 0.6)), [face])
    assert not is_echo(face_of((0.52, 0.4, 0.62, 0.6)), [face])
    assert not is_echo(face, [])


@pytest.mark.parametrize(
    ("pause_ms", "x", "width", "found"),
    [
        (3000, 0.5 + 1.2 * W, W, True),
        (3000, 0.5 + 1.8 * W, W, False),  # a live track may move farther
        (1400, 0.5 + 1.8 * W, W, True),
        (3000, 0.5, 1.5 * W, False),
    ],
)
def test_somebody_who_was_lost_turns_up_only_where_and_as_expected(
    pause_ms: int, x: float, width: float, found: bool
) -> None:
    chosen = assign([a_track(0.5)], [Face(x, 0.5, width, H * width / W)], 1000 + pause_ms)

    assert (chosen == [0]) is found


def test_a_face_goes_to_who_is_in_view_rather_than_to_who_was_lost() -> None:
    lost, live = a_track(0.5), replace(a_track(0.5 + 0.5 * W), last_ms=3800)

    assert assign([lost, live], faces(0.5), 4000) == [1]


def test_what_a_face_looks_like_decides_between_places_that_are_as_good() -> None:
    covered, bare = a_track(0.5), a_track(0.5 + 0.4 * W)
    covered.case.verdict, bare.case.verdict = MASK, NO_MASK

    assert assign([covered, bare], faces(0.5 + 0.2 * W), 1200, lambda _: NO_MASK) == [1]
    assert assign([covered, bare], faces(0.5 + 0.2 * W), 1200, lambda _: MASK) == [0]


def test_a_face_that_never_moves_is_stationary_and_one_that_nods_is_not() -> None:
    poster, person = (replace(a_track(0.5, hits=1), still=(0.5, 0.5, W, 1000)) for _ in range(2))
    for step in range(1, 40):
        t_ms = 1000 + 200 * step
        poster.see(Face(round(0.5 + 0.03 * W * (step % 3 - 1), 5), 0.5, W, H), t_ms)
        person.see(Face(0.5, round(0.5 + 0.2 * H * (step % 10 < 5), 5), W, H), t_ms)
        assert poster.stationary is (t_ms >= 6000)
        assert not person.stationary


def test_coming_nearer_is_moving() -> None:
    track = replace(a_track(0.5, hits=1), still=(0.5, 0.5, W, 1000))
    for step in range(1, 60):
        track.see(Face(0.5, 0.5, round(W * 1.02**step, 5), round(H * 1.02**step, 5)), 1000 + 200 * step)
        assert not track.stationary
