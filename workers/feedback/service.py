"""The feedback stage as a thread of the judge's process; it works where the site stage does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.broker.client import Client
from common.errors import BrokerError, MaskwatchError
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.metrics import CollectorRegistry
from common.partition import Keys
from workers.feedback.stage import FeedbackStage

TURN_S = 1.0
_END_S = 2.0
_log = Log("feedback")


class FeedbackLoop:
    """Takes turns while this process is the one that should."""

    def __init__(self, stage: FeedbackStage, holds: Callable[[], bool]) -> None:
        """Take the stage and what says whether this process is the one."""
        self._stage, self._holds = stage, holds
        self._quiet = OncePer(5.0)

    def run(self, stop: StopSignal) -> None:
        """Work until ``stop``; a broker that does not answer is asked again at the next turn."""
        while not stop.wait(TURN_S):
            self.step()

    def step(self) -> None:
        """Take one turn, or let go of the figures where another process has them now."""
        try:
            if self._holds():
                self._stage.turn()
            else:
                self._stage.rest()
        except MaskwatchError as error:
            code = error.code if isinstance(error, BrokerError) else type(error).__name__
            if self._quiet.permit(code) is not None:
                _log.warning("turn_failed", code=code, error=str(error)[:300])


@contextmanager
def running(
    client: Client,
    keys: Keys,
    registry: CollectorRegistry,
    holds: Callable[[], bool],
    planned: Callable[[str], bool] = lambda _: True,
) -> Iterator[None]:
    """Run the feedback stage while the block runs; figures are shown of ``planned`` cameras."""
    stop = StopSignal()
    loop = FeedbackLoop(FeedbackStage(client, keys, registry, planned=planned), holds)
    thread = threading.Thread(target=loop.run, args=(stop,), name="feedback", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_END_S)
