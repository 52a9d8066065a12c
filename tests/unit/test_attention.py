"""Which of many streams are asked each time, and which only in turns."""

from __future__ import annotations

from common.broker.frames.attention import FEW, LIVELY_S, ROUND_S, TURNS, Attention

MANY = [f"s{number}" for number in range(2 * FEW)]
LATER = LIVELY_S + 1


def watching(streams: list[str]) -> Attention:
    attention = Attention()
    attention.follow(streams, 0.0)
    return attention


def test_a_few_streams_are_always_asked_together() -> None:
    attention = watching(MANY[:FEW])
    assert attention.lively(MANY[:FEW], LATER) == MANY[:FEW]
    assert attention.others(MANY[:FEW], LATER) == []
    assert attention.share(MANY[:FEW], 0, LATER) == MANY[:FEW]


def test_streams_that_nobody_knows_yet_are_lively() -> None:
    assert watching(MANY).lively(MANY, LIVELY_S - 1) == MANY
    assert watching(MANY).lively(MANY, LATER) == []


def test_a_picture_makes_a_stream_lively_and_the_others_are_asked_once_a_round() -> None:
    attention = watching(MANY)
    attention.note("s7", LATER)
    attention.note("unknown", LATER)
    assert attention.lively(MANY, LATER) == ["s7"]
    assert attention.others(MANY, LATER) == [key for key in MANY if key != "s7"]
    assert attention.others(MANY, LATER + ROUND_S / 2) == []
    assert attention.left_s(LATER + ROUND_S / 2) == ROUND_S / 2
    assert len(attention.others(MANY, LATER + ROUND_S)) == len(MANY) - 1
    assert attention.lively(MANY, LATER + LIVELY_S) == []


def test_new_cameras_change_nothing_for_the_others() -> None:
    attention = watching(MANY)
    attention.note("s7", 10.0)
    attention.follow([*MANY, "new"], LATER)
    assert attention.lively([*MANY, "new"], LATER) == ["s7", "new"]


def test_within_five_turns_everything_is_asked_and_a_lively_stream_each_time() -> None:
    attention = watching(MANY)
    attention.note("s7", LATER)
    turns = [attention.share(MANY, turn, LATER) for turn in range(TURNS)]
    assert {key for turn in turns for key in turn} == set(MANY)
    assert all("s7" in turn for turn in turns)
    assert max(map(len, turns)) <= len(MANY) / TURNS + 2
