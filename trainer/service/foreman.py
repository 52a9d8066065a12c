"""Decides what is done next, while the lease is held: go on with a run, begin one, take a candidate a step further."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from common.errors import BrokerError, MaskwatchError
from common.log import Log
from common.models.registry import Registry
from trainer.service.bench import Bench
from trainer.service.case import Case, CaseFolder, CaseShelf
from trainer.service.intake import open_crops
from trainer.service.job import Ending, Hooks, Job
from trainer.service.labelled import SampleFolder, read_samples
from trainer.service.ledger import Ledger
from trainer.service.metrics import TrainerMetrics
from trainer.service.requests import Request, RequestBox
from trainer.service.rollout import GuardedRollout
from trainer.service.settings import TrainerSettings
from trainer.service.triggers import Cause, Situation, due

TELL_EVERY_S = 10.0
_log = Log("trainer")


@dataclass(frozen=True, slots=True)
class Office:
    """Whom the foreman works with.

    Attributes:
        settings: What it is told.
        registry: Where versions go.
        box: Where requests lie.
        rollout: Carries guarded promotion out.
        metrics: Where it counts.
        fence: Raises `FencedError` where another trainer has taken over.
        should_stop: Whether the end was asked for.
    """

    settings: TrainerSettings
    registry: Registry
    box: RequestBox
    rollout: GuardedRollout
    metrics: TrainerMetrics
    fence: Callable[[], None]
    should_stop: Callable[[], bool]


class Foreman:
    """Does one piece of work a turn; for one thread."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._bench = Bench(office.settings, office.registry, office.should_stop)
        self._shelf = CaseShelf(office.settings.runs)
        last = self._shelf.last()
        office.metrics.recall((last.report() if last else None) or {})
        self._since_s = time.time()
        self._told_s = 0.0
        self._reminded = ""

    def turn(self, now: float) -> None:
        """Look around and do what is due; ``now`` is unix time, s.

        Raises:
            FencedError: Another trainer has taken over.
            BrokerError: The broker does not answer; nothing is lost.
            TrainingError: The folder of runs cannot be used.
        """
        metrics = self._office.metrics
        ledger = Ledger(self._office.settings.runs)
        samples = read_samples(self._office.settings.samples)
        new = self._count(samples, ledger)
        metrics.generation.set(self._office.registry.current().generation)
        metrics.show("idle")
        folder = self._shelf.unfinished()
        if folder is None:
            self._follow_up(now)
            if self._rolling(now):
                return
        if folder is None:
            request = self._office.box.waiting()
            cause = due(now, self._situation(new, request), self._office.settings)
            if cause is None:
                return
            folder = self._begin(cause, request, (now, new))
        self._work(folder, ledger)

    def _count(self, samples: SampleFolder, ledger: Ledger) -> int:
        metrics = self._office.metrics
        metrics.count(samples.crops, samples.bad)
        for fate, number in ledger.count().items():
            metrics.fates.labels(fate).set(number)
        new = sum(open_crops(samples, ledger, held_back=False)[1])
        metrics.new.set(new)
        return new

    def _rolling(self, now: float) -> bool:
        """Take a candidate on trial a step further; no run begins meanwhile."""
        progress = self._office.rollout.turn(now)
        self._office.metrics.rollout.clear()
        if progress is None:
            return False
        self._office.metrics.rollout.labels(progress.stage).set(1)
        if progress.active:
            self._office.metrics.show("rollout")
        return progress.active

    def _situation(self, new: int, request: Request | None) -> Situation:
        last = self._shelf.last()
        report = (last.report() if last else None) or {}
        case = last.case() if last else None
        return Situation(
            new=new, left_over=int(report.get("left_over", 0)), last_at_s=case.started_s if case else 0.0,
            since_s=self._since_s, request=request,
        )  # fmt: skip

    def _begin(self, cause: Cause, request: Request | None, about: tuple[float, int]) -> CaseFolder:
        now, new = about
        at = self._office.registry.current()
        name = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        asked = request if cause == "request" else None
        why = f"{asked.by}: {asked.why}" if asked else f"{new} new crops"
        case = Case(
            run=name, cause=cause, why=why, request=asked.id if asked else "",
            held_back=asked.held_back if asked else False, started_s=now, generation=at.generation,
            base=Case.base_of(at.classifier),
        )  # fmt: skip
        folder = self._shelf.new(name)
        folder.open(case)
        _log.info("run_begins", run=name, cause=cause, why=why, generation=at.generation)
        return folder

    def _work(self, folder: CaseFolder, ledger: Ledger) -> None:
        case = folder.case()
        assert case is not None  # noqa: S101 - the shelf gives only folders whose case can be read
        metrics = self._office.metrics
        hooks = Hooks(metrics.show, self._tell, self._office.fence)
        job = Job(self._bench, folder, ledger, hooks)
        try:
            ending = job.run(case)
        except (BrokerError, MaskwatchError):
            raise
        except Exception as error:  # noqa: BLE001 - a run that breaks is tried again, and given up after some attempts
            metrics.failures.labels(type(error).__name__).inc()
            _log.error("run_broke", run=case.run, kind=type(error).__name__, error=str(error)[:300])
            return
        metrics.show("idle")
        if ending is not None:
            self._file(case, ending)

    def _file(self, case: Case, ending: Ending) -> None:
        self._office.metrics.ended(ending.outcome, ending.report)
        _log.info("run_ended", run=case.run, outcome=ending.outcome, reasons=ending.report["reasons"])
        self._shelf.clear(self._office.settings.runs_kept)

    def _follow_up(self, now: float) -> None:
        """Do what the last run asks for once it is over: answer its request, hand its candidate to the rollout.

        It is asked for at every turn and done once, so that a kill in between loses nothing.
        """
        folder = self._shelf.last()
        case, report = (folder.case(), folder.report()) if folder else (None, None)
        if case is None or report is None:
            return
        if case.request:
            self._office.box.answer(case.request)
        if self._office.settings.promotion != "guarded" or report["outcome"] != "passed":
            return
        if not report.get("unattended"):
            if self._reminded != case.run:
                _log.warning("waits_for_a_person", candidate=case.run, remarks=report.get("remarks"))
            self._reminded = case.run
            return
        if self._office.registry.current().generation == case.generation:
            self._office.rollout.begin(case.run, case.generation, now)

    def _tell(self, done: float, left_s: float) -> None:
        self._office.metrics.progress.set(done)
        self._office.metrics.left.set(left_s)
        now = time.monotonic()
        if now - self._told_s >= TELL_EVERY_S:
            self._told_s = now
            _log.info("training", done=round(done, 3), left_s=round(left_s))
