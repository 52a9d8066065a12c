"""The gate: rules on figures with their intervals. A candidate that breaks one is refused, and the report says why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.scores.scoring import rounded
from trainer.service.settings import GateLimits
from trainer.service.slices import Slice

LEAST_FACES = 3
"""A loss that chance may explain counts from so many faces on."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule applied.

    Attributes:
        rule: Its name.
        subject: What it was applied to.
        passed: None where there is too little to say.
        words: Why.
    """

    rule: str
    subject: str
    passed: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate looks at.

    Attributes:
        fixed: Slices of the fixed set; the first is all of it.
        held_out: Operators' crops that were never trained on: those new with this run.
        believed: The same of earlier, accepted runs.
        latency: Candidate's time for a batch over the current one's.
    """

    fixed: Sequence[Slice]
    held_out: Slice | None
    believed: Slice | None
    latency: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        rulings: Every rule, passed or not.
        remarks: What a person should look at.
    """

    rulings: tuple[Ruling, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return all(ruling.passed is not False for ruling in self.rulings)

    @property
    def unattended(self) -> bool:
        """Whether it may be promoted without a person: passed, nothing to look at, held-out crops were judged."""
        judged = any(ruling.rule == "held_out" and ruling.passed for ruling in self.rulings)
        return self.passed and judged and not self.remarks

    @property
    def reasons(self) -> list[str]:
        """Say for each broken rule what is wrong."""
        return [f"{ruling.subject}: {ruling.words}" for ruling in self.rulings if ruling.passed is False]

    def ready(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "passed": self.passed, "unattended": self.unattended, "reasons": self.reasons,
            "rulings": [asdict(ruling) for ruling in self.rulings], "remarks": list(self.remarks),
        }  # fmt: skip


def decide(evidence: Evidence, limits: GateLimits, remarks: Sequence[str] = ()) -> Verdict:
    """Apply every rule."""
    whole = evidence.fixed[0]
    rulings = [_accuracy(one, limits) for one in evidence.fixed]
    rulings += [_doubt(one, limits) for one in evidence.fixed]
    rulings += [_errors(whole, "false_violations", limits), _errors(whole, "missed_violations", limits)]
    rulings.append(_held_out(evidence.held_out, limits))
    if evidence.believed is not None:
        rulings.append(_accuracy(evidence.believed, limits))
    rulings += [_calibration(whole, limits), _latency(evidence.latency, limits)]
    return Verdict(tuple(rulings), tuple(remarks))


def _accuracy(part: Slice, limits: GateLimits) -> Ruling:
    row = part.rows["accuracy"]
    subject = f"{part.kind} {part.name}"
    if part.faces < limits.support:
        return Ruling("accuracy", subject, None, f"{part.faces} faces are too few to judge ({limits.support})")
    lost = -row["difference"]
    clear = lost > limits.tolerance and row["high"] < 0
    much = lost > limits.most_lost and lost * part.faces > LEAST_FACES - 0.5
    words = _words("accuracy", row, part)
    if clear:
        return Ruling("accuracy", subject, False, f"{words}; clearly worse, more than {limits.tolerance:.1%} is lost")
    if much:
        return Ruling("accuracy", subject, False, f"{words}; more than {limits.most_lost:.1%} is lost")
    return Ruling("accuracy", subject, True, words)


def _doubt(part: Slice, limits: GateLimits) -> Ruling:
    """Look at how surely the truth is expected: wrong labels show there long before verdicts change."""
    row, subject = part.rows["log_loss"], f"{part.kind} {part.name}"
    if part.faces < limits.support:
        return Ruling("log_loss", subject, None, f"{part.faces} faces are too few to judge ({limits.support})")
    # A small rise that is several times what was there is how a few wrong labels of one direction show first.
    multiplied = row["new"] > 2 * row["old"] and row["difference"] > limits.log_loss / 5
    bad = row["low"] > 0 and (row["difference"] > limits.log_loss or multiplied)
    words = (
        f"log loss {row['old']:.3f} → {row['new']:.3f} (95 % interval of the difference {row['low']:+.3f} to "
        f"{row['high']:+.3f}, {part.faces} faces)"
    )
    return Ruling("log_loss", subject, not bad, f"{words}; it doubts what is true there" if bad else words)


def _errors(whole: Slice, figure: str, limits: GateLimits) -> Ruling:
    row = whole.rows[figure]
    name = figure.replace("_", " ")
    if not math.isfinite(row["difference"]):
        return Ruling(figure, name, None, "the fixed set has no such face")
    more = row["difference"]
    bad = more > limits.false_violations and (row["low"] > 0 or more * whole.faces > LEAST_FACES - 0.5)
    words = _words(name, row, whole)
    return Ruling(figure, name, not bad, f"{words}; more than {limits.false_violations:.1%} more" if bad else words)


def _held_out(part: Slice | None, limits: GateLimits) -> Ruling:
    subject = "held-out operator labels"
    if part is None or part.faces < limits.held_out:
        count = part.faces if part else 0
        return Ruling("held_out", subject, None, f"{count} crops are too few to judge ({limits.held_out})")
    row = part.rows["accuracy"]
    words = _words("accuracy", row, part)
    if row["difference"] < 0:
        return Ruling("held_out", subject, False, f"{words}; it must not get worse there")
    if row["new"] < limits.learnt:
        return Ruling("held_out", subject, False, f"{words}; the labels cannot be learnt, they contradict the base set")
    return Ruling("held_out", subject, True, words)


def _calibration(whole: Slice, limits: GateLimits) -> Ruling:
    row = whole.rows["calibration_error"]
    if not math.isfinite(row["difference"]):
        return Ruling("calibration", "calibration error", None, "cannot be computed")
    bad = row["difference"] > limits.calibration
    words = _words("calibration error", row, whole)
    return Ruling("calibration", "calibration error", not bad, f"{words}; may rise by {limits.calibration:.1%}")


def _latency(ratio: float, limits: GateLimits) -> Ruling:
    words = f"a batch takes {ratio:.2f} times as long, {limits.latency:.2f} is allowed"
    return Ruling("latency", "latency", ratio <= limits.latency, words)


def _words(name: str, row: dict[str, Any], part: Slice) -> str:
    return (
        f"{name} {row['old']:.1%} → {row['new']:.1%} ({row['difference']:+.1%}, 95 % interval {row['low']:+.1%} to "
        f"{row['high']:+.1%}, {part.faces} faces in {part.groups} groups)"
    )


def figures_of(parts: Iterable[Slice]) -> dict[str, Any]:
    """Give the figures that go into the candidate's manifest: slice to figure to value."""
    table: dict[str, Any] = rounded(
        {
            f"{part.kind} {part.name}": {"faces": part.faces}
            | {figure: row["new"] for figure, row in part.rows.items()}
            for part in parts
        }
    )
    return table
