"""One scenario from the first frame to the last check."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from maskwatch.run.oracle import Comparison
from tests.faults.build import Build
from tests.faults.invariants import FILE_SLACK, against_truth, broken, pixels_on_disk
from tests.faults.rig import Rig


class NotHereError(Exception):
    """A scenario cannot be tried on this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a scenario measured.

    Attributes:
        recovery_s: From the moment that the bound counts from to I5, s.
        note: Other figures, in words.
    """

    recovery_s: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault, done to a running station.

    Attributes:
        number: Row of the table.
        name: Its name, unique.
        bound_s: Longest recovery, s.
        act: Does it and says how long recovery took; raises AssertionError where something else is not as it must be.
        build: Of a rig of its own; None takes the shared one.
        truth: Whether the events must also equal what the scenes showed; asks for ``quiet_s`` of pictures around it.
        quick: Part of ``make test``.
        quiet_s: Pictures before and after, s.
        file_slack: Open files that come and go by themselves.
        alone: Takes the place of ``act`` where no station of the usual kind is harmed; gets a folder.
    """

    number: int
    name: str
    bound_s: float
    act: Callable[[Rig], Finding] | None = None
    build: Build | None = None
    truth: bool = False
    quick: bool = False
    quiet_s: float = 2.0
    file_slack: int = FILE_SLACK
    alone: Callable[[Path], Finding] | None = None


@dataclass(slots=True)
class Verdict:
    """How a scenario went."""

    number: int
    name: str
    bound_s: float
    recovery_s: float = float("nan")
    note: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.failures


def try_out(rig: Rig, scenario: Scenario) -> Verdict:
    """Show pictures, do harm, wait until all is well, end the pictures, check everything."""
    verdict = Verdict(scenario.number, scenario.name, scenario.bound_s)
    began = time.monotonic()
    try:
        _through(rig, scenario, verdict)
    except Exception as error:
        verdict.failures["act"] = f"{type(error).__name__}: {error}"[:300] + f" [{rig.trouble()}]"
        rig.restore()
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict


def _through(rig: Rig, scenario: Scenario, verdict: Verdict) -> None:
    rig.show()
    rig.pause(scenario.quiet_s)
    before = rig.sizes()
    assert scenario.act is not None
    _measure(verdict, scenario.act(rig))
    rig.pause(scenario.quiet_s)
    after = rig.sizes()
    ended_s = time.time()
    rig.hide()
    verdict.failures |= broken(rig, before, after, scenario.file_slack)
    if scenario.truth:
        _compare(verdict, against_truth(rig, ended_s))


def _measure(verdict: Verdict, finding: Finding) -> None:
    verdict.recovery_s, verdict.note = round(finding.recovery_s, 2), finding.note
    if finding.recovery_s > verdict.bound_s:
        verdict.failures["bound"] = f"{finding.recovery_s:.1f} s where {verdict.bound_s:g} s are allowed"


def _compare(verdict: Verdict, found: Comparison) -> None:
    words = f"{len(found.found)} of {len(found.expected)} true episodes told"
    verdict.note = f"{verdict.note}; {words}" if verdict.note else words
    if not found.agrees:
        verdict.failures["truth"] = f"{words}, {len(found.extra)} unexplained"


def run_alone(scenario: Scenario, folder: Path) -> Verdict:
    """Try a scenario that cannot share a station."""
    if scenario.alone is None:
        with Rig(folder, scenario.build) as rig:
            return try_out(rig, scenario)
    folder.mkdir(parents=True, exist_ok=True)
    verdict, began = Verdict(scenario.number, scenario.name, scenario.bound_s), time.monotonic()
    try:
        _measure(verdict, scenario.alone(folder))
    except NotHereError as error:
        verdict.note = f"not run: {error}"
    except Exception as error:
        verdict.failures["act"] = f"{type(error).__name__}: {error}"[:300]
    if why := pixels_on_disk(folder):
        verdict.failures["I7"] = why
    verdict.seconds = round(time.monotonic() - began, 1)
    return verdict
