"""What single frames say, and the verdict that they add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge_scenes import a_face
from workers.judge.limits import Rule
from workers.judge.quality import Look
from workers.judge.votes import INCORRECT, MASK, NO_MASK, UNDETERMINED, VoteWindow, decide, vote_of, why_undetermined

RULE = Rule()
VOTES = {"m": MASK << 10 | 15 << 6 | 60, "n": NO_MASK << 10 | 15 << 6 | 60, "i": INCORRECT << 10 | 15 << 6 | 60}
VOTES |= {"u": UNDETERMINED << 10 | 15 << 6 | 30, "w": NO_MASK << 10 | 3 << 6 | 40}  # w: a weak no_mask


def window_of(text: str) -> VoteWindow:
    window = VoteWindow()
    for letter in text:
        window.push(VOTES[letter], RULE.window)
    return window


@pytest.mark.parametrize(
    ("votes", "current", "verdict"),
    [
        ("", UNDETERMINED, UNDETERMINED),
        ("nnn", UNDETERMINED, UNDETERMINED),  # one vote short
        ("nnnn", UNDETERMINED, NO_MASK),
        ("uuuuuuuu", UNDETERMINED, UNDETERMINED),
        ("nnuuuuuu", UNDETERMINED, UNDETERMINED),
        ("nmnmnm", UNDETERMINED, UNDETERMINED),  # no lead
        ("nnnmm", UNDETERMINED, NO_MASK),  # 60 %
        ("nninni", UNDETERMINED, NO_MASK),
        ("iiiinn", UNDETERMINED, INCORRECT),
        ("wwwwm", UNDETERMINED, UNDETERMINED),  # four weak against one strong
        ("mmmmmmmmnnn", MASK, MASK),
        ("mmmmnnnnnnn", MASK, MASK),  # 64 % would be enough at first, not against a standing verdict
        ("mmmnnnnnnnnn", MASK, NO_MASK),  # 75 %
        ("nnnnuuuuuuuu", NO_MASK, NO_MASK),  # head turned away
        ("uuuuuuuuuuuu", NO_MASK, NO_MASK),
        ("uuuuuuuuummm", NO_MASK, NO_MASK),  # too few
    ],
)
def test_verdicts(votes: str, current: int, verdict: int) -> None:
    assert decide(window_of(votes), current, RULE) == verdict


@pytest.mark.parametrize(
    ("label", "face_px", "expected"),
    [
        ("mask", 60, MASK),
        ("no_mask", 60, NO_MASK),
        ("incorrect", 60, INCORRECT),
        ("unsure", 60, UNDETERMINED),
        ("no_mask", 19.9, UNDETERMINED),
        ("no_mask", 20, NO_MASK),
    ],
)
def test_votes_of_faces(label: str, face_px: float, expected: int) -> None:
    assert vote_of(a_face(0.5, 0.5, 0.05, label), Look(face_px), RULE) >> 10 == expected


def test_small_and_blurred_faces_weigh_less() -> None:
    def weight(face_px: float, blur: float | None) -> int:
        return vote_of(a_face(0.5, 0.5, 0.05, "mask", blur), Look(face_px, blur), RULE) >> 6 & 15

    assert weight(100, 100) > weight(24, 100) > weight(24, 10) > 0
    assert weight(100, None) == weight(100, 100)


@given(st.lists(st.sampled_from("mniuw"), max_size=60))
def test_a_window_survives_its_text(letters: list[str]) -> None:
    window = window_of("".join(letters))
    again = VoteWindow.from_text(window.to_text())

    assert (again.votes, again.count, again.weight, again.probability) == (
        window.votes,
        window.count,
        window.weight,
        window.probability,
    )
    assert len(window.votes) == min(len(letters), RULE.window) == sum(window.count)


@pytest.mark.parametrize(
    ("look", "label", "reason"),
    [
        (Look(19), "no_mask", "too_small"),
        (Look(60, yaw=75), "no_mask", "facing_away"),
        (Look(60, yaw=-75), "no_mask", "facing_away"),
        (Look(60, blur=1.5), "no_mask", "blurred"),
        (Look(60, occlusion=0.6), "no_mask", "occluded"),
        (Look(60), "unsure", "unsure"),
    ],
)
def test_a_frame_that_does_not_count_says_why(look: Look, label: str, reason: str) -> None:
    window = VoteWindow([vote_of(a_face(0.5, 0.5, 0.05, label), look, RULE)] * 3)

    assert window.count[UNDETERMINED] == 3
    assert why_undetermined(window, RULE) == reason
    assert why_undetermined(VoteWindow.from_text(window.to_text()), RULE) == reason


@pytest.mark.parametrize(
    ("votes", "reason"),
    [("", None), ("nn", None), ("nnnn", None), ("nmnmnm", "votes_disagree"), ("nnnuu", None), ("nnuuu", "unsure")],
)
def test_why_a_window_holds_no_verdict(votes: str, reason: str | None) -> None:
    assert why_undetermined(window_of(votes), RULE) == reason


def test_a_turned_face_weighs_less() -> None:
    weights = [vote_of(a_face(0.5, 0.5, 0.05, "mask"), Look(60, yaw=yaw), RULE) >> 6 & 15 for yaw in (0, 30, 50, 68)]

    assert weights[0] == weights[1] > weights[2] > weights[3] > 0
