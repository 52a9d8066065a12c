"""Follows the registry: what it names is made ready aside and put in service between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from common.broker.models.shadowreports import ShadowReports, candidate_names
from common.errors import BrokerError, ModelError, StaleGenerationError
from common.log import Log, OncePer
from common.models.registry import Registry, Rollout, WorkerModels, check_follows
from common.models.rollout_report import ShadowReport
from workers.infer.metrics import InferMetrics
from workers.infer.versions.failures import LoadError
from workers.infer.versions.loader import Fetch, Loader, Manner, blamed
from workers.infer.versions.remembrance import Remembrance
from workers.infer.versions.rollout import Wanted, wanted
from workers.infer.versions.serving import Choice, Served, Serving
from workers.infer.versions.shadow import Shadow, Subject

LOOK_EVERY_S = 1.0
REPORT_EVERY_S = 5.0
AGAIN_S, PASSING_AGAIN_S, LONGEST_AGAIN_S = 300.0, 2.0, 60.0
"""A version that was refused is tried again after so long, s, unless the pointer moves first; one that the broker or
the disk kept away, after 2 s, then twice as long every time."""
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class Bench:
    """What the watch works with.

    Attributes:
        registry: Its own object with a connection of its own.
        fetch: Gives folders of versions.
        announce: Tells the site of the last refusal.
        reports: Where comparisons go.
        loader: Makes networks ready.
        serving: Where they serve.
        shadow: Where a candidate is compared.
        remembrance: Remembers what serves.
        metrics: Where it counts.
        worker: This worker's name.
    """

    registry: Registry
    fetch: Fetch
    announce: Callable[[], object]
    reports: ShadowReports
    loader: Loader
    serving: Serving
    shadow: Shadow
    remembrance: Remembrance
    metrics: InferMetrics
    worker: str


@dataclass(slots=True)
class _Refusal:
    """Something that did not load, and when it is tried again, monotonic s."""

    reason: str
    again: float
    pause_s: float


class ModelWatch:
    """A thread that looks once a second; a context manager. Neither a broker that is away nor a bad version ends it."""

    def __init__(self, bench: Bench) -> None:
        self._b = bench
        self._refused: dict[tuple[str, Choice], _Refusal] = {}
        self._trouble: ShadowReport | None = None
        self._next_report = 0.0
        self._said = ""
        self._newest = bench.serving.current.choice.generation
        self._once = OncePer(10.0, time.monotonic)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._b.loader.trial.cancel()
        self._thread.join()
        self._b.shadow.end()

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except (BrokerError, ModelError) as error:
                self._away(error)
            except Exception as error:  # noqa: BLE001 - one look that fails must not be the last one
                _log.error("look_failed", error=f"{type(error).__name__}: {error}"[:300])
            if self._end.wait(LOOK_EVERY_S):
                return

    def _look(self) -> None:
        """Do once what pointer and rollout ask for, and say so."""
        want = self._wanted()
        if want is not None:
            self._refused = {
                key: refusal for key, refusal in self._refused.items() if key[1] in (want.serve, want.shadow)
            }
            self._serve(want.serve)
            self._compare(want)
        self._report(self._state(want))

    def _wanted(self) -> Wanted | None:
        """Ask the registry; None where it knows less than we do."""
        pointer, rollout = self._b.registry.current(), self._b.registry.rollout()
        try:
            check_follows(self._newest, pointer)
        except StaleGenerationError:
            if self._once.permit("stale") is not None:
                _log.warning("pointer_went_back", ours=self._newest, theirs=pointer.generation)
            return None
        self._newest = pointer.generation
        live = self._b.registry.workers() if rollout is not None and rollout.stage == "canary" else {}
        want = wanted(pointer, rollout, self._b.worker, live)
        shadow = self._b.loader.pinned(want.shadow) if want.shadow else None
        return replace(want, serve=self._b.loader.pinned(want.serve), shadow=shadow)

    def _serve(self, choice: Choice) -> None:
        current = self._b.serving.current
        if choice == current.choice:
            return
        if choice.same_networks(current.choice):
            self._put_in_service(replace(current, choice=choice))
            return
        if not self._due("serve", choice):
            return
        self._report("loading")
        began = time.monotonic()
        try:
            ready = self._b.loader.load(choice, self._b.fetch, Manner(beside=current))
        except LoadError as failure:
            self._refuse("serve", choice, failure)
            return
        loaded = time.monotonic()
        self._put_in_service(ready)
        self._b.metrics.swaps.inc()
        _log.info(
            "models_swapped",
            generation=choice.generation,
            detector=ready.signature.detector.version,
            classifier=ready.signature.classifier.version,
            stage=choice.stage,
            load_s=round(loaded - began, 3),
            handover_s=round(time.monotonic() - loaded, 3),
        )

    def _put_in_service(self, ready: Served) -> None:
        self._b.serving.swap(ready)
        self._b.metrics.tell_models(ready.signature, ready.choice.generation)
        if ready.choice.stage == "serving":
            self._b.remembrance.save(ready.choice)

    def _compare(self, want: Wanted) -> None:
        """Begin, go on with or end the comparison that is asked for."""
        running, rollout = self._b.shadow.subject, want.rollout
        if want.shadow is None or rollout is None:
            self._trouble = None
            if running is not None:
                self._b.shadow.end()
            return
        if (running is not None and running.rollout == rollout) or not self._due("shadow", want.shadow):
            return
        self._b.shadow.end()
        try:
            ratio = self._b.loader.cost_ratio(want.shadow, self._b.fetch, self._b.serving.current)
            candidate = self._b.loader.load(want.shadow, self._b.fetch, Manner(prove=False, threads=1, timed=False))
        except LoadError as failure:
            self._refuse("shadow", want.shadow, failure)
            self._trouble = self._hopeless(rollout, failure)
            return
        self._trouble = None
        self._b.shadow.begin(Subject(candidate, rollout, ratio))
        _log.info("shadow_began", candidate=list(candidate_names(rollout)), cost_ratio=ratio and round(ratio, 2))

    def _hopeless(self, rollout: Rollout, failure: LoadError) -> ShadowReport:
        return ShadowReport(
            worker=self._b.worker,
            base_generation=rollout.base_generation,
            candidate=candidate_names(rollout),
            started_at=rollout.at_s,
            at_s=time.time(),
            trouble=f"{failure.reason}: {failure}"[:300],
        )

    def _due(self, purpose: str, choice: Choice) -> bool:
        refusal = self._refused.get((purpose, choice))
        return refusal is None or time.monotonic() >= refusal.again

    def _refuse(self, purpose: str, choice: Choice, failure: LoadError) -> None:
        """Keep what serves, and say why once for each version and moment."""
        if failure.reason == "cancelled":
            return
        before = self._refused.get((purpose, choice))
        pause_s = AGAIN_S
        if failure.passing:
            pause_s = min(LONGEST_AGAIN_S, 2 * before.pause_s) if before else PASSING_AGAIN_S
        self._refused[purpose, choice] = _Refusal(failure.reason, time.monotonic() + pause_s, pause_s)
        kind = blamed(failure, choice)
        self._b.metrics.load_failures.labels(kind, failure.reason).inc()
        refs = [ref.label for ref in choice.refs]
        _log.error("models_refused", purpose=purpose, refs=refs, reason=failure.reason, error=str(failure))
        if before is None and not failure.passing:
            self._b.registry.refused(choice.refs, self._b.worker, f"{failure.reason}: {failure}")
            self._b.announce()

    def _state(self, want: Wanted | None) -> str:
        if want is None:
            return "ahead of the registry"
        for purpose, choice in (("serve", want.serve), ("shadow", want.shadow)):
            refusal = self._refused.get((purpose, choice)) if choice else None
            if refusal is not None:
                return f"refused: {refusal.reason}"
        return "shadow" if self._b.shadow.subject else self._b.serving.current.choice.stage

    def _report(self, state: str) -> None:
        """Say what serves: at once when it changed, else every few seconds."""
        served, now = self._b.serving.current, time.monotonic()
        said = f"{served.choice} {state}"
        if said == self._said and now < self._next_report:
            return
        choice = served.choice
        models = WorkerModels(
            choice.generation, choice.detector, choice.classifier, served.signature.backend, state, time.time()
        )
        self._b.registry.report(self._b.worker, models)
        self._said, self._next_report = said, now + REPORT_EVERY_S
        self._b.remembrance.tidy(choice, time.time())
        compared = self._b.shadow.report(time.time()) or self._trouble
        if compared is not None:
            self._b.reports.put(compared)

    def _away(self, error: BrokerError | ModelError) -> None:
        if isinstance(error, BrokerError):
            self._b.metrics.broker.errors.labels("state", error.code).inc()
        if self._once.permit("away") is not None:
            _log.warning("registry_away", error=str(error)[:200])
