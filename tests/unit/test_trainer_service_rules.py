"""When the trainer service runs, what its gate lets pass, and how a candidate goes live: pure rules."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainer.service.gate import Evidence, Verdict, decide
from trainer.service.promotion import Decision, Observation, Promotion, Stage
from trainer.service.requests import Request
from trainer.service.settings import RolloutLimits, TrainerSettings
from trainer.service.slices import Slice
from trainer.service.triggers import Situation, due

SETTINGS = TrainerSettings(min_new_samples=100, every_hours=24.0)
GATE = SETTINGS.gate
HOUR_S = 3600.0


def situation(**changes: Any) -> Situation:
    return Situation(**{"new": 0, "left_over": 0, "last_at_s": 0.0, "since_s": 0.0, **changes})


@pytest.mark.parametrize(
    ("now", "changes", "cause"),
    [
        (10.0, {"new": 99}, None),
        (10.0, {"new": 100}, "samples"),
        (10.0, {"new": 150, "left_over": 100}, None),  # a run that failed is not begun again for the same crops
        (10.0, {"new": 200, "left_over": 100}, "samples"),
        (25 * HOUR_S, {"new": 1}, "schedule"),
        (25 * HOUR_S, {"new": 0}, None),  # nothing new to learn
        (25 * HOUR_S, {"new": 1, "last_at_s": 2 * HOUR_S}, None),
        (10.0, {"request": Request("a", "ana", "please")}, "request"),
    ],
)
def test_a_run_starts_for_enough_crops_by_the_clock_or_on_request(
    now: float, changes: dict[str, Any], cause: str | None
) -> None:
    assert due(now, situation(**changes), SETTINGS) == cause


def row(old: float, new: float, low: float = math.nan, high: float = math.nan) -> dict[str, Any]:
    difference = new - old
    spread = 0.001
    return {
        "old": old, "new": new, "difference": difference, "change": "",
        "low": difference - spread if math.isnan(low) else low,
        "high": difference + spread if math.isnan(high) else high,
    }  # fmt: skip


def part(kind: str = "all", name: str = "all", faces: int = 500, **rows: dict[str, Any]) -> Slice:
    same = {
        "accuracy": row(0.97, 0.97, -0.01, 0.01), "false_violations": row(0.01, 0.01, -0.01, 0.01),
        "missed_violations": row(0.01, 0.01, -0.01, 0.01), "calibration_error": row(0.01, 0.01),
        "log_loss": row(0.02, 0.03, 0.005, 0.02),
    }  # fmt: skip
    return Slice(kind, name, faces, faces, same | rows)


def verdict(*fixed: Slice, held: Slice | None = None, believed: Slice | None = None, latency: float = 1.0) -> Verdict:
    own = held or part("held_out", "new labels", 50, accuracy=row(0.2, 0.9))
    return decide(Evidence(fixed or (part(),), own, believed, latency), GATE)


def test_a_candidate_that_is_better_where_it_was_wrong_and_as_good_elsewhere_passes() -> None:
    assert verdict().passed
    assert verdict().unattended


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ({"fixed": [part(accuracy=row(0.97, 0.95, -0.03, -0.01))]}, "accuracy"),
        ({"fixed": [part(), part("source", "metro", 60, accuracy=row(0.95, 0.90, -0.1, -0.01))]}, "accuracy"),
        ({"fixed": [part(), part("size", "<16", 100, accuracy=row(0.9, 0.86, -0.09, 0.01))]}, "accuracy"),
        ({"fixed": [part(false_violations=row(0.01, 0.02, 0.002, 0.02))]}, "false_violations"),
        ({"fixed": [part(missed_violations=row(0.01, 0.02, 0.002, 0.02))]}, "missed_violations"),
        ({"fixed": [part(calibration_error=row(0.01, 0.05))]}, "calibration"),
        ({"fixed": [part(), part("label", "no_mask", 60, log_loss=row(0.02, 0.2, 0.1, 0.3))]}, "log_loss"),
        ({"fixed": [part(), part("label", "no_mask", 60, log_loss=row(0.011, 0.059, 0.03, 0.068))]}, "log_loss"),
        ({"held": part("held_out", "new labels", 50, accuracy=row(0.9, 0.88))}, "held_out"),
        ({"held": part("held_out", "new labels", 50, accuracy=row(0.1, 0.3))}, "held_out"),
        ({"believed": part("held_out", "earlier labels", 50, accuracy=row(0.9, 0.7, -0.3, -0.1))}, "accuracy"),
        ({"latency": 2.0}, "latency"),
    ],
)
def test_each_rule_refuses_alone_and_says_why(case: dict[str, Any], rule: str) -> None:
    said = verdict(*case.pop("fixed", ()), **case)
    assert not said.passed
    assert [one.rule for one in said.rulings if one.passed is False] == [rule]
    assert len(said.reasons) == 1
    assert "→" in said.reasons[0] or "times as long" in said.reasons[0]


def test_a_loss_that_chance_explains_passes_and_a_slice_of_a_few_faces_is_not_judged() -> None:
    noise = part("source", "metro", 60, accuracy=row(0.95, 0.94, -0.05, 0.03))
    few = part("source", "lift", 5, accuracy=row(1.0, 0.4, -0.9, -0.2))
    said = verdict(part(), noise, few)
    assert said.passed
    assert {one.subject for one in said.rulings if one.passed is None} == {"source lift"}


def test_nobody_is_left_out_of_promotion_where_too_few_held_out_crops_or_a_remark_ask_for_a_look() -> None:
    few = part("held_out", "new labels", 3, accuracy=row(0.5, 0.9))
    assert verdict(held=few).passed
    assert not verdict(held=few).unattended
    own = part("held_out", "new labels", 50, accuracy=row(0.2, 0.9))
    assert not decide(Evidence((part(),), own, None, 1.0), GATE, ["look"]).unattended


LIMITS = RolloutLimits(
    shadow_s=60, canary_s=120, watch_s=300, patience_s=1000, canary_workers=1, least_verdicts=100, disagreement=0.05,
    latency=1.5, undetermined=0.05,
)  # fmt: skip
GOOD = Observation(faces=200, disagreed=0.3, violations_base=20, violations_both=30, latency=1.0, undetermined=0.0,
                   serving=1)  # fmt: skip


def step(stage: Stage, now: float, seen: Observation) -> Decision:
    return Promotion(stage, 0.0, LIMITS).next(now, seen)


@pytest.mark.parametrize(
    ("stage", "now", "seen", "next_step"),
    [
        ("published", 0, Observation(), "shadow"),
        ("shadow", 10, GOOD, "wait"),
        ("shadow", 61, Observation(faces=99), "wait"),
        ("shadow", 61, GOOD, "canary"),
        ("shadow", 1001, Observation(faces=99), "give_up"),
        ("canary", 61, GOOD, "wait"),
        ("canary", 121, GOOD, "promote"),
        ("canary", 121, Observation(faces=200), "wait"),  # nobody serves it yet
        ("promoted", 100, GOOD, "wait"),
        ("promoted", 301, GOOD, "finish"),
        ("done", 0, GOOD, "wait"),
    ],
)
def test_a_candidate_goes_step_by_step(stage: Stage, now: float, seen: Observation, next_step: str) -> None:
    assert step(stage, now, seen).step == next_step


@pytest.mark.parametrize(("stage", "back"), [("shadow", "withdraw"), ("canary", "withdraw"), ("promoted", "roll_back")])
@pytest.mark.parametrize(
    "seen",
    [
        Observation(faces=200, latency=1.6),
        Observation(faces=200, undetermined=0.06),
        Observation(faces=200, violations_candidate=6, violations_both=94),
        Observation(trouble="probe"),
    ],
)
def test_a_bound_that_is_left_takes_it_back_from_any_stage(stage: Stage, back: str, seen: Observation) -> None:
    assert step(stage, 1.0, seen).step == back


def test_violations_that_only_the_old_version_raises_are_no_reason_to_go_back() -> None:
    """To stop raising false ones is what a candidate was trained for."""
    assert step("shadow", 61, Observation(faces=200, violations_base=100)).step == "canary"
