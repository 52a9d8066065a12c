"""The life of a violation on one track, as tables of verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.judge.episodes import SEVERITY_OF, Case, close, step
from workers.judge.limits import Rule
from workers.judge.votes import INCORRECT, MASK, NO_MASK, UNDETERMINED

LETTERS = {"m": MASK, "n": NO_MASK, "i": INCORRECT, ".": UNDETERMINED}


def live(verdicts: str, rule: Rule, update_ms: int = 5000) -> list[str]:
    """One verdict a second; gives ``second:message``."""
    case, told = Case(), []
    for second, letter in enumerate(verdicts):
        t_ms = 1_000_000 + second * 1000
        case.verdict = LETTERS[letter]
        if letter in "ni":
            case.since_ms = case.since_ms or t_ms
        due = step(case, t_ms, rule, update_ms)
        if due is not None:
            told.append(f"{second}:{due.lifecycle}:{due.reason}:{due.ordinal}")
    return told


@pytest.mark.parametrize(
    ("verdicts", "rule", "told"),
    [
        ("....mmmm", Rule(), []),
        ("nnnn", Rule(), ["0:started:first_confirmed:0"]),
        ("nnmm", Rule(), ["0:started:first_confirmed:0", "2:ended:class_changed:0"]),
        ("nnnn", Rule(required=False), []),
        ("nnnn", Rule(grace_ms=2000), ["2:started:first_confirmed:0"]),
        ("iinnii", Rule(), ["0:started:first_confirmed:0", "2:updated:severity_raised:0"]),
        (
            "iinniiiiii",
            Rule(),
            ["0:started:first_confirmed:0", "2:updated:severity_raised:0", "7:updated:class_changed:1"],
        ),
        ("nmnnn", Rule(cooldown_ms=60_000), ["0:started:first_confirmed:0", "1:ended:class_changed:0"]),
        (
            "nmnnnn",
            Rule(cooldown_ms=3000),
            ["0:started:first_confirmed:0", "1:ended:class_changed:0", "4:started:first_confirmed:0"],
        ),
        (
            "imnnm",
            Rule(cooldown_ms=60_000),
            [
                "0:started:first_confirmed:0",
                "1:ended:class_changed:0",
                "2:started:first_confirmed:0",
                "4:ended:class_changed:0",
            ],
        ),
        ("nminn", Rule(cooldown_ms=60_000), ["0:started:first_confirmed:0", "1:ended:class_changed:0"]),
    ],
)
def test_life(verdicts: str, rule: Rule, told: list[str]) -> None:
    assert live(verdicts, rule) == told


def test_what_never_started_does_not_end() -> None:
    assert close(Case(), 5, "track_lost") is None


def test_an_episode_ends_once() -> None:
    case = Case(verdict=NO_MASK, since_ms=1000)
    assert step(case, 1000, Rule(), 5000) is not None
    ended = close(case, 3000, "track_lost")

    assert ended is not None
    assert (ended.lifecycle, ended.reason, case.ended_ms) == ("ended", "track_lost", 3000)
    assert close(case, 4000, "camera_lost") is None


@given(verdicts=st.lists(st.sampled_from("mni."), max_size=60).map("".join), cooldown_s=st.integers(0, 60))
def test_no_cooldown_and_no_pause_swallows_what_is_worse(verdicts: str, cooldown_s: int) -> None:
    """Whenever somebody stands worse than was ever told within the cooldown, the very same frame tells it."""
    case, ended_ms, told = Case(), -1_000_000_000, 0
    rule = Rule(cooldown_ms=cooldown_s * 1000)
    for second, letter in enumerate(verdicts):
        t_ms = 1_000_000 + second * 1000
        case.verdict = LETTERS[letter]
        if letter in "ni":
            case.since_ms = case.since_ms or t_ms
        severity = SEVERITY_OF.get(case.verdict, 0)
        due = step(case, t_ms, rule, 5000)
        if due is not None and due.lifecycle == "ended":
            ended_ms = t_ms
        elif due is not None:
            told = severity if due.lifecycle == "started" else max(told, severity)
        assert severity <= told
        assert not severity or case.is_open or t_ms - ended_ms < rule.cooldown_ms
