"""Guarded promotion step by step: shadow, canary, in force, watched; or back. Pure: time and reports are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.service.settings import RolloutLimits

Stage = Literal["published", "shadow", "canary", "promoted", "done", "refused"]
Step = Literal["wait", "shadow", "canary", "promote", "finish", "withdraw", "roll_back", "give_up"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What live frames say of a candidate beside the version in force; sums since its stage began.

    Attributes:
        faces: Faces that both judged.
        disagreed: Share of frames on which they differ (shadow); None where it is not measured.
        violations_base: Would-be violations that only the version in force raised.
        violations_candidate: Those that only the candidate raised.
        violations_both: Those that both raised.
        latency: Candidate's time over that of the version in force; None where it is not measured.
        undetermined: Rise of the undetermined share; None where it is not measured.
        serving: Workers that serve the candidate as canaries, or are on the new generation.
        trouble: Why a worker cannot run it at all.
    """

    faces: int = 0
    disagreed: float | None = None
    violations_base: int = 0
    violations_candidate: int = 0
    violations_both: int = 0
    latency: float | None = None
    undetermined: float | None = None
    serving: int = 0
    trouble: str = ""

    @property
    def more_violations(self) -> float | None:
        """Would-be violations that only the candidate raises, as a share of all; None where there are none."""
        total = self.violations_base + self.violations_candidate + self.violations_both
        return self.violations_candidate / total if total else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next, and why."""

    step: Step
    why: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """Where a candidate stands.

    Attributes:
        stage: What was done last.
        since_s: When, s since the epoch.
        limits: The bounds.
    """

    stage: Stage
    since_s: float
    limits: RolloutLimits

    def next(self, now: float, seen: Observation) -> Decision:
        """Say what to do now; asked again and again, a decision once carried out moves the stage."""
        if self.stage == "published":
            return Decision("shadow", "the gate passed; first beside what serves")
        if self.stage == "promoted":
            return self._watch(now, seen)
        if self.stage not in ("shadow", "canary"):
            return Decision("wait", "nothing is left to do")
        broken = self.broken(seen)
        return Decision("withdraw", f"{self.stage}: {broken}") if broken else self._proceed(now, seen)

    def _proceed(self, now: float, seen: Observation) -> Decision:
        short, waited_s = self._too_little(seen), now - self.since_s
        least_s = self.limits.shadow_s if self.stage == "shadow" else self.limits.canary_s
        if waited_s >= self.limits.patience_s and short:
            return Decision("give_up", f"{self.stage}: {short} within {self.limits.patience_s:.0f} s; a person decides")
        if waited_s < least_s or short:
            return Decision("wait", short or f"{least_s - waited_s:.0f} s left")
        words = f"{self.stage} stayed within its bounds for {waited_s:.0f} s"
        return Decision("canary" if self.stage == "shadow" else "promote", words)

    def broken(self, seen: Observation) -> str:
        """Name the bound that was left, in words; empty while all are kept."""
        limits = self.limits
        if seen.trouble:
            return seen.trouble
        if seen.latency is not None and seen.latency > limits.latency:
            return f"takes {seen.latency:.2f} times as long ({limits.latency:.2f} allowed)"
        if seen.faces < limits.least_verdicts:
            return ""  # shares of so few say nothing yet
        if seen.undetermined is not None and seen.undetermined > limits.undetermined:
            return f"undetermined share up by {seen.undetermined:.1%} ({limits.undetermined:.1%} allowed)"
        more = seen.more_violations
        if more is not None and more > limits.disagreement:
            return (
                f"{more:.1%} of violations would be raised by the candidate alone ({limits.disagreement:.1%} allowed)"
            )
        return ""

    def _too_little(self, seen: Observation) -> str:
        if self.stage == "canary" and seen.serving < 1:
            return "no worker serves it yet"
        if self.stage == "shadow" and seen.faces < self.limits.least_verdicts:
            return f"{seen.faces} faces of {self.limits.least_verdicts}"
        return ""

    def _watch(self, now: float, seen: Observation) -> Decision:
        broken = self.broken(seen)
        if broken:
            return Decision("roll_back", f"in force: {broken}")
        left_s = self.limits.watch_s - (now - self.since_s)
        return (
            Decision("wait", f"{left_s:.0f} s left") if left_s > 0 else Decision("finish", "stayed within its bounds")
        )
