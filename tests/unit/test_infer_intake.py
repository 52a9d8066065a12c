"""The intake asks often for a plan while there is none."""

from __future__ import annotations

from typing import Any, cast

from common.lifecycle import StopSignal
from common.metrics import CollectorRegistry
from workers.infer.intake import Intake, ReadLimits
from workers.infer.metrics import InferMetrics
from workers.infer.patience import Patience


class Pauses(Patience):
    """Notes pauses in the place of taking them."""

    def __init__(self) -> None:
        super().__init__(StopSignal(), 1.0)
        self.taken: list[float] = []

    def pause(self, seconds: float) -> bool:
        self.taken.append(seconds)
        return True


def test_without_a_plan_the_loop_looks_again_soon_so_that_a_start_does_not_wait_for_a_whole_block() -> None:
    pauses = Pauses()
    nobody = cast("Any", None)  # neither broker is asked
    intake = Intake(nobody, nobody, ReadLimits(16, 1 << 20, 5, 1, 8), pauses, InferMetrics(CollectorRegistry()))
    assert intake.fetch(0.5) == intake.fetch(0.01) == []
    assert pauses.taken == [0.05, 0.01]
