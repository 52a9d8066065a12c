"""The part of the fault campaign that every test run can afford; ``make faults`` runs all of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.faults.build import Build
from tests.faults.rig import Rig
from tests.faults.soak import Soak, flush_frames, kill_process
from tests.faults.table import SCENARIOS
from tests.faults.trial import Scenario, try_out

QUICK = [replace(one, truth=False, quiet_s=1.0) for one in SCENARIOS if one.quick]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("faults"), Build()) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_or_doubled_by(rig: Rig, scenario: Scenario) -> None:
    verdict = try_out(rig, scenario)
    assert verdict.failures == {}


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_short_soak_holds_all_invariants(rig: Rig) -> None:
    one = Soak(rig, random.Random(1), faults=(kill_process, flush_frames))
    one.run(6)
    assert one.failures == []
    assert one.recovery_s
