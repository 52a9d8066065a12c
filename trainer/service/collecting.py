"""Keeps the sample folder in step with operators' verdicts, in a thread of its own: neither crops nor erasing wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from common.broker.client import Client
from common.broker.feedback import FeedbackDesk
from common.broker.frames.pictures import PictureStore
from common.broker.planfeed import PlanFeed
from common.broker.plans import PlanStore
from common.errors import MaskwatchError, SitePlanError
from common.images import Picture
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.partition import Keys
from common.siteplan import SitePlan
from trainer.faces.cuts import pad
from trainer.samples.collector import Collector, Turn
from trainer.samples.store import SampleStore
from trainer.service.cutting import open_finder
from trainer.service.metrics import TrainerMetrics

CANVAS_PX = 320
_log = Log("trainer")


class FaceCheck:
    """Says whether a crop shows a face; the detector is loaded when it is first asked."""

    def __init__(self) -> None:
        self._find: Callable[[Picture], int] | None = None

    def __call__(self, picture: Picture) -> bool:
        """Look at uint8, (H, W, 3), BGR."""
        if self._find is None:
            finder = open_finder()
            self._find = lambda one: len(finder.find(pad(one)[0], CANVAS_PX).boxes)
        return self._find(picture) > 0


class SampleCollecting:
    """Turns a collector until it is stopped; a context manager.

    Args:
        clients: Command clients of this thread's own: state, frames.
        keys: Key names.
        store: Where samples go.
        metrics: Where it counts.
        period_s: Pause between two turns.
    """

    def __init__(
        self, clients: tuple[Client, Client], keys: Keys, store: SampleStore, metrics: TrainerMetrics, period_s: float
    ) -> None:
        state, frames = clients
        desk = FeedbackDesk(state, keys)
        self._collector = Collector(desk, PictureStore(frames, keys).get, store, FaceCheck())
        self._feed = PlanFeed(PlanStore(state, keys.prefix))
        self._plan: SitePlan | None = None
        self._metrics = metrics
        self._period_s = period_s
        self._stop = StopSignal()
        self._lines = OncePer(30.0)
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def __enter__(self) -> SampleCollecting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set("done")
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._count(self._turn())
            except MaskwatchError as error:
                self._complain(type(error).__name__, str(error))
            except Exception as error:  # noqa: BLE001 - one bad record must not end collecting and erasing
                self._complain(type(error).__name__, str(error))
            self._stop.wait(self._period_s)

    def _turn(self) -> Turn:
        try:
            self._plan = self._feed.poll() or self._plan
        except SitePlanError as error:
            self._complain("plan", str(error))
        return self._collector.turn(time.time(), self._allowed)

    def _allowed(self, camera: str) -> bool:
        return self._plan is not None and self._plan.pictures_of(camera).crops

    def _count(self, turn: Turn) -> None:
        for what in ("added", "relabelled", "erased", "expired"):
            self._metrics.collected.labels(what).inc(getattr(turn, what))
        for reason, count in turn.left_out.items():
            self._metrics.left_out.labels(reason).inc(count)

    def _complain(self, kind: str, words: str) -> None:
        self._metrics.failures.labels(f"collecting_{kind}").inc()
        if self._lines.permit(kind) is not None:
            _log.warning("collecting_failed", kind=kind, error=words[:300])
