"""Scenario with a thousand cameras in the plan, of which two deliver."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from common.broker.plans import PlanStore
from tests.faults.build import Build
from tests.faults.rig import Rig
from tests.faults.trial import Finding, Scenario, try_out

ABSENT = 998
FLAPPING = 200
SETTLED_S = 40.0
"""By then the pauses between two calls of a camera that does not answer have grown."""
MEASURED_S = 10.0
CALLS = 100
"""So many cameras may be called at one moment, each with an open file."""


def thousand_cameras(folder: Path) -> Finding:
    """30: two cameras deliver while 998 do not answer; 200 of these leave the plan and come back."""
    shares: dict[str, float] = {}

    def act(rig: Rig) -> Finding:
        rig.pause(SETTLED_S)
        shares.update(_busy(rig))
        plans = PlanStore(rig.witness.state, rig.keys.prefix)
        worst = 0.0
        for absent in (ABSENT - FLAPPING, ABSENT):
            plan = Build(absent=absent).plan_at(0.0)
            cameras = [*rig.plan.cameras[:2], *plan.cameras[2:]]
            published = time.monotonic()
            plans.publish(plan.model_copy(update={"cameras": cameras}).to_bytes())
            rig.pause(3)
            worst = max(worst, rig.recovered_in(published + 3, 60))
        return Finding(worst)

    with Rig(folder / "rig", Build(absent=ABSENT)) as rig:
        verdict = try_out(rig, Scenario(30, "thousand_cameras", 10, act, file_slack=CALLS))
        assert verdict.passed, verdict.failures
        idle = _idle(rig)
    return Finding(verdict.recovery_s, f"of a core: {_words(shares)}; the 998 alone: {_words(idle)}")


def _idle(rig: Rig) -> dict[str, float]:
    """Measure the same of a plan in which nobody answers."""
    plan = rig.plan.model_copy(update={"cameras": rig.plan.cameras[2:]})
    PlanStore(rig.witness.state, rig.keys.prefix).publish(plan.to_bytes())
    with rig.besides("producer", 0):
        rig.pause(SETTLED_S)
        return _busy(rig)


def _words(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


def _busy(rig: Rig) -> dict[str, float]:
    """Measure the share of a core that each process takes."""
    before = _spent(rig)
    rig.pause(MEASURED_S)
    return {name: (spent - before[name]) / MEASURED_S for name, spent in _spent(rig).items() if name in before}


def _spent(rig: Rig) -> dict[str, float]:
    spent = {}
    for name, role in rig.roles.items():
        with suppress(psutil.Error):
            times = psutil.Process(role.pid).cpu_times()
            spent[name] = times.user + times.system
    return spent


SCENARIOS = (Scenario(30, "thousand_cameras", 10, alone=thousand_cameras),)
