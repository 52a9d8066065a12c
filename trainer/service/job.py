"""One run from its crops to its report. Every step leaves a file, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.errors import ConfigError, ModelError, StaleGenerationError, TrainingError
from common.log import Log
from common.models.admission import examine
from common.models.manifest import ModelVersion, load_version
from common.models.registry import VersionRef
from common.models.signatures import SIGNATURE_NAME, sign
from trainer.files import replace_file
from trainer.service.bench import Bench
from trainer.service.candidate import release_candidate, stamp
from trainer.service.case import GATE, REPORT, Case, CaseFolder, Outcome
from trainer.service.cutting import GroupedFaces
from trainer.service.firstreader import keep_first_reader
from trainer.service.gate import Evidence, Verdict, decide, figures_of
from trainer.service.gate_page import write_page
from trainer.service.gate_plots import draw_gate
from trainer.service.intake import Examiner, Intake, NothingLeftError, open_crops, take_in
from trainer.service.labelled import read_samples
from trainer.service.ledger import Entry, Ledger
from trainer.service.served import ServedClassifier, latency_ratio
from trainer.service.slices import Answers, slice_of, slices_of
from trainer.service.tuning import Lessons, Pace, tune

_log = Log("trainer")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run tells and asks the service.

    Attributes:
        stage: Told what is being done.
        progress: Told share done (0..1) and seconds left of the training.
        fence: Asked before something is published; raises `FencedError` where another trainer has taken over.
    """

    stage: Callable[[str], None]
    progress: Callable[[float, float], None]
    fence: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        outcome: passed, refused, failed, overtaken.
        report: As written.
        ref: The published version, if it passed.
    """

    outcome: Outcome
    report: dict[str, Any]
    ref: VersionRef | None = None


class Job:
    """Carries a case out.

    Args:
        bench: What it needs.
        folder: Where it is kept.
        ledger: What became of crops.
        hooks: Whom it tells.
    """

    def __init__(self, bench: Bench, folder: CaseFolder, ledger: Ledger, hooks: Hooks) -> None:
        self._bench = bench
        self._folder = folder
        self._ledger = ledger
        self._hooks = hooks
        self._samples = read_samples(bench.settings.samples)

    def run(self, case: Case) -> Ending | None:
        """Carry the case out; None if it was told to stop, then it goes on later.

        Raises:
            FencedError: Another trainer has taken over; nothing was published.
            BrokerError: The registry cannot be reached; to be tried again.
        """
        try:
            return self._run(self._begin(case))
        except InterruptedError:
            return None
        except StaleGenerationError as error:
            return self._end(case, "overtaken", [str(error)])
        except NothingLeftError as error:
            return self._end(case, "refused", str(error).splitlines(), {"samples": error.counts}, error.fates)
        except (TrainingError, ModelError, ConfigError) as error:
            return self._end(case, "failed", str(error).splitlines())

    def _begin(self, case: Case) -> Case:
        crops, _ = open_crops(self._samples, self._ledger, held_back=case.held_back)
        files = case.files or tuple(crop.file for crop in crops)
        begun = case.model_copy(update={"files": files, "attempts": case.attempts + 1})
        self._folder.open(begun)
        if begun.attempts > self._bench.settings.attempts:
            raise TrainingError(f"died {begun.attempts - 1} times; given up")
        self._check_generation(case)
        return begun

    def _run(self, case: Case) -> Ending | None:
        gate = self._folder.gate()
        if gate is None:
            base = self._bench.version(case.ref)
            self._hooks.stage("reading")
            intake = self._take_in(case, base)
            candidate = self._train(case, base, intake)
            if candidate is None:
                return None
            self._hooks.stage("judging")
            gate = self._judge(case, intake, (base, candidate))
        fates = {file: Entry.model_validate(entry) for file, entry in gate.pop("fates").items()}
        if not gate["passed"]:
            return self._end(case, "refused", gate["reasons"], gate, fates)
        self._hooks.stage("publishing")
        self._check_generation(case)
        self._hooks.fence()
        self._sign()
        why = f"gate passed: {case.cause}{', ' if case.why else ''}{case.why}"[:400]
        ref = self._bench.registry.publish(self._folder.candidate, by="trainer", why=why)
        return self._end(case, "passed", [], gate | {"published": ref.label}, fates, ref)

    def _sign(self) -> None:
        key = self._bench.settings.signing_key
        if key is not None:
            ref = examine(self._folder.candidate).ref
            replace_file(self._folder.candidate / SIGNATURE_NAME, sign(ref, key).to_bytes())

    def _take_in(self, case: Case, base: ModelVersion) -> Intake:
        crops, new = open_crops(self._samples, self._ledger, held_back=case.held_back)
        wanted = set(case.files)
        pairs = [(crop, fresh) for crop, fresh in zip(crops, new, strict=True) if crop.file in wanted]
        if not pairs:
            raise TrainingError("there is no labelled crop to learn from")
        settings = self._bench.settings
        examiner = Examiner(self._bench.finder, ServedClassifier(base, settings.threads), self._bench.should_stop)
        chosen, fresh = [crop for crop, _ in pairs], [flag for _, flag in pairs]
        return take_in(chosen, fresh, self._ledger, examiner, settings, case.run)

    def _train(self, case: Case, base: ModelVersion, intake: Intake) -> ModelVersion | None:
        if (self._folder.candidate / "manifest.json").is_file():
            return load_version(self._folder.candidate, "classifier")
        self._hooks.stage("training")
        replayed, calibration = self._bench.base()
        lessons = Lessons(replayed.faces, intake.learnt.faces, calibration.faces)
        del replayed, calibration

        def pace(total: int, done: int) -> Pace:
            return Pace(total, done, self._bench.should_stop, self._hooks.progress)

        tuned = tune(base, lessons, self._bench.settings, self._folder.path, pace)
        if tuned is None:
            return None
        learnt = len(intake.learnt)
        return release_candidate(tuned, base, case.run, learnt, self._folder.candidate)

    def _judge(self, case: Case, intake: Intake, versions: tuple[ModelVersion, ModelVersion]) -> dict[str, Any]:
        """Apply the gate and keep what it says, with the fates of the crops; its figures go into the version."""
        settings, fixed_faces = self._bench.settings, self._bench.fixed()
        taught = [intake.learnt.faces, fixed_faces.faces]
        versions = versions[0], keep_first_reader(*versions, taught, settings.threads)
        # Like with like: a small network, where the candidate kept it, makes the surest answers of both.
        current, candidate = (ServedClassifier(version, settings.threads, versions[1]) for version in versions)

        def ask(faces: GroupedFaces) -> Answers:
            return Answers(faces, current.judge(faces.faces), candidate.judge(faces.faces))

        fixed = ask(fixed_faces)
        parts = list(slices_of(fixed, settings.gate_draws))
        new, believed = (
            slice_of(ask(faces), "held_out", name, settings.gate_draws) if len(faces) else None
            for name, faces in (("new labels", intake.held_new), ("earlier labels", intake.held_believed))
        )
        ratio = latency_ratio(current, candidate)
        verdict = decide(Evidence(parts, new, believed, ratio), settings.gate, intake.remarks)
        everything = [*parts, *(part for part in (new, believed) if part)]
        draw_gate(self._folder.path, everything, fixed, self._history())
        stamp(self._folder.candidate, {"gate": "passed" if verdict.passed else "refused", **figures_of(everything)})
        gate: dict[str, Any] = {
            **verdict.ready(), "slices": [part.ready() for part in everything], "latency": round(ratio, 3),
            "samples": {**intake.counts, "malformed lines": self._samples.bad},
            "current": versions[0].manifest.identity, "candidate": versions[1].manifest.identity,
            "fates": {file: entry.model_dump() for file, entry in _outcome(intake.fates, verdict).items()},
        }  # fmt: skip
        self._folder.keep(GATE, gate)
        _log.info("gate", run=case.run, passed=verdict.passed, reasons=verdict.reasons)
        return gate

    def _history(self) -> list[dict[str, float]]:
        import json

        try:
            history: list[dict[str, float]] = json.loads((self._folder.path / "history.json").read_bytes())
        except (OSError, ValueError):
            return []
        return history

    def _end(
        self, case: Case, outcome: Outcome, reasons: list[str], gate: dict[str, Any] | None = None,
        fates: dict[str, Entry] | None = None, ref: VersionRef | None = None,
    ) -> Ending:  # fmt: skip
        self._ledger.enter(fates or {}, [crop.file for crop in self._samples.crops])
        report: dict[str, Any] = {
            "run": case.run, "outcome": outcome, "cause": case.cause, "why": case.why, "generation": case.generation,
            **(gate or {}), "reasons": reasons, "seconds": round(max(0.0, time.time() - case.started_s), 1),
        }  # fmt: skip
        report.pop("fates", None)
        crops, new = open_crops(self._samples, self._ledger, held_back=False)
        report["left_over"] = sum(fresh and crop.file in case.files for crop, fresh in zip(crops, new, strict=True))
        write_page(self._folder.path, report)
        self._folder.keep(REPORT, report)
        self._folder.tidy()
        return Ending(outcome, report, ref)

    def _check_generation(self, case: Case) -> None:
        at = self._bench.registry.current()
        if at.generation != case.generation:
            raise StaleGenerationError(case.generation, at.generation, at.by, at.why)


def _outcome(fates: dict[str, Entry], verdict: Verdict) -> dict[str, Entry]:
    """Hold back what a refused candidate learnt from; what was not believed stays in quarantine."""
    if verdict.passed:
        return fates
    why = "; ".join(verdict.reasons)[:300]
    return {
        file: entry.model_copy(update={"fate": "held_back", "why": why}) if entry.fate == "accepted" else entry
        for file, entry in fates.items()
    }
