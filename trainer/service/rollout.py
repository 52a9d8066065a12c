"""Carries guarded promotion out: asks the registry, the workers' reports and live results, and does the next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from common.broker.models.news import announce_last, announce_move
from common.broker.models.shadowreports import ShadowReports
from common.broker.siteinbox import SiteInbox
from common.errors import MaskwatchError, StaleGenerationError
from common.events.model import ModelAction
from common.log import Log
from common.models.registry import Registry, Rollout
from common.models.rollout_report import merged
from trainer.service.live import LiveFigures
from trainer.service.progress import Progress, ProgressStore
from trainer.service.promotion import Decision, Observation, Promotion, Stage
from trainer.service.settings import RolloutLimits

BY = "trainer"
_log = Log("trainer")


@dataclass(frozen=True, slots=True)
class Channels:
    """Whom a rollout listens to and tells.

    Attributes:
        registry: Moves the pointer.
        reports: Comparisons of the workers in the shadow.
        live: Results.
        inbox: Takes ``model.status`` events.
        fence: Raises `FencedError` where another trainer has taken over.
    """

    registry: Registry
    reports: ShadowReports
    live: LiveFigures
    inbox: SiteInbox
    fence: Callable[[], None]


class GuardedRollout:
    """Takes one candidate after the other through its stages.

    Args:
        channels: Whom it listens to.
        store: Where progress is kept, so that another trainer can go on.
        limits: The bounds.
    """

    def __init__(self, channels: Channels, store: ProgressStore, limits: RolloutLimits) -> None:
        self._channels = channels
        self._store = store
        self._limits = limits

    def begin(self, version: str, generation: int, now: float) -> None:
        """Take a published candidate over, once; one that was begun before, however it ended, is left as it is."""
        before = self._store.load()
        if before is not None and before.ref.version == version:
            return
        known = (one.ref for one in self._channels.registry.versions())
        ref = next((one for one in known if (one.kind, one.version) == ("classifier", version)), None)
        if ref is not None:
            self._moved(Progress(ref, "published", now, generation), "published", now, "the gate passed")

    def turn(self, now: float) -> Progress | None:
        """Look, decide, act; gives where the candidate stands, None where there is none.

        Raises:
            FencedError: Another trainer has taken over; nothing was changed.
            BrokerError: Something does not answer; the next turn goes on.
        """
        progress = self._store.load()
        if progress is None or not progress.active:
            return progress
        progress = self._reconciled(progress, now)
        if not progress.active:
            return progress
        self._channels.live.look()
        seen = self._observe(progress)
        decision = Promotion(progress.stage, progress.since_s, self._limits).next(now, seen)
        return progress if decision.step == "wait" else self._carry_out(progress, decision, now)

    def _reconciled(self, progress: Progress, now: float) -> Progress:
        """Catch up with what was done before a kill, or by a person."""
        at = self._channels.registry.current()
        if progress.stage == "promoted":
            if at.generation != progress.generation:
                return self._moved(progress, "done", now, f"generation {at.generation} by {at.by or 'somebody'}")
            return progress
        if at.generation == progress.generation:
            ended = progress.stage in ("shadow", "canary") and self._channels.registry.rollout() is None
            return self._moved(progress, "done", now, "its rollout was ended by a person") if ended else progress
        if at.classifier == progress.ref and at.by == BY and progress.stage == "canary":
            self._announce_move()
            return self._moved(replace(progress, generation=at.generation), "promoted", now, at.why)
        return self._moved(progress, "done", now, f"overtaken by generation {at.generation} of {at.by or 'somebody'}")

    def _observe(self, progress: Progress) -> Observation:
        rollout = self._channels.registry.rollout()
        states = [worker.state for worker in self._channels.registry.workers().values()]
        serving = sum(state == "canary" for state in states)
        if progress.stage == "shadow" and rollout is not None:
            report = merged(self._channels.reports.of(rollout))
            if report is None:
                return Observation()
            before = report.undetermined_base / max(1, report.faces_base)
            after = report.undetermined_candidate / max(1, report.faces_candidate)
            return Observation(
                faces=min(report.faces_base, report.faces_candidate),
                disagreed=None if report.agreement is None else 1 - report.agreement,
                violations_base=report.violations_base, violations_candidate=report.violations_candidate,
                violations_both=report.violations_both, latency=report.cost_ratio, undetermined=after - before,
                trouble=report.trouble or (f"{report.failed} batches failed" if report.failed else ""),
            )  # fmt: skip
        trouble = next((state for state in states if state.startswith("refused")), "")
        return replace(self._channels.live.compare(progress.ref.version), serving=serving, trouble=trouble)

    def _carry_out(self, progress: Progress, decision: Decision, now: float) -> Progress:
        registry, words = self._channels.registry, decision.why
        self._channels.fence()
        try:
            match decision.step:
                case "shadow" | "canary":
                    workers = self._limits.canary_workers
                    registry.set_rollout(
                        Rollout((progress.ref,), decision.step, workers, progress.generation, BY, now, words)
                    )
                    self._announce("rollout_started")
                    return self._moved(progress, decision.step, now, words)
                case "promote":
                    at = registry.promote([progress.ref], progress.generation, BY, words)
                    self._announce_move()
                    return self._moved(replace(progress, generation=at.generation), "promoted", now, words)
                case "roll_back":
                    registry.rollback(BY, words, expected=progress.generation)
                    self._announce_move()
                    return self._moved(progress, "refused", now, words)
                case "withdraw" | "give_up":
                    registry.set_rollout(None, BY, words)
                    self._announce("rollout_ended")
                    return self._moved(progress, "refused" if decision.step == "withdraw" else "done", now, words)
        except StaleGenerationError as error:
            return self._moved(progress, "done", now, str(error))
        return self._moved(progress, "done", now, words)

    def _moved(self, progress: Progress, stage: Stage, now: float, why: str) -> Progress:
        moved = replace(progress, stage=stage, since_s=now, why=why)
        self._store.save(moved)
        _log.info("rollout", candidate=moved.ref.label, stage=stage, why=why)
        return moved

    def _announce(self, action: ModelAction) -> None:
        _attempt(lambda: announce_last(self._channels.inbox, self._channels.registry, action))

    def _announce_move(self) -> None:
        registry = self._channels.registry
        _attempt(lambda: announce_move(self._channels.inbox, registry, registry.current()))


def _attempt(step: Callable[[], object]) -> None:
    """Tell the site; news that cannot be told are no reason to undo what was done."""
    try:
        step()
    except MaskwatchError as error:
        _log.warning("not_announced", error=str(error)[:200])
