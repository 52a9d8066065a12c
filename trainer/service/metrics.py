"""What the trainer service tells Prometheus."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable, Mapping
from typing import Any

from common.metrics import BrokerMetrics, CollectorRegistry, Counter, Gauge
from trainer.service.labelled import LabelledCrop

STATES = ("standby", "idle", "reading", "training", "judging", "publishing", "rollout")


class TrainerMetrics:
    """The trainer's series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.broker = BrokerMetrics(registry)
        self.state = Gauge("maskwatch_trainer_state", "1 for what is being done.", ["state"], registry=registry)
        self.samples = Gauge(
            "maskwatch_trainer_samples", "Labelled crops in the folder.", ["label", "source"], registry=registry
        )
        self.new = Gauge("maskwatch_trainer_samples_new", "Crops that no run has decided about.", registry=registry)
        self.fates = Gauge("maskwatch_trainer_samples_decided", "Crops by their fate.", ["fate"], registry=registry)
        self.bad = Gauge(
            "maskwatch_trainer_samples_bad", "Index lines that cannot be used.", ["reason"], registry=registry
        )
        self.runs = Counter("maskwatch_trainer_runs_total", "Runs by outcome.", ["outcome"], registry=registry)
        self.gate = Gauge(
            "maskwatch_trainer_gate_broken", "Broken rules of the last gate, by rule.", ["rule"], registry=registry
        )
        self.passed = Gauge("maskwatch_trainer_gate_passed", "1: the last gate passed.", registry=registry)
        self.progress = Gauge("maskwatch_trainer_progress_ratio", "Share of the training done.", registry=registry)
        self.left = Gauge("maskwatch_trainer_left_seconds", "Time left of the training.", registry=registry)
        self.seconds = Gauge("maskwatch_trainer_run_seconds", "How long the last run took.", registry=registry)
        self.generation = Gauge("maskwatch_trainer_generation", "Generation in force.", registry=registry)
        self.failures = Counter(
            "maskwatch_trainer_failures_total", "Failures of the service itself, by kind.", ["kind"], registry=registry
        )
        self.collected = Counter(
            "maskwatch_trainer_collected_total", "Samples by what became of them.", ["what"], registry=registry
        )
        self.left_out = Counter(
            "maskwatch_trainer_left_out_total", "Verdicts that made no sample.", ["reason"], registry=registry
        )
        self.rollout = Gauge(
            "maskwatch_trainer_rollout", "1 for the stage of guarded promotion.", ["stage"], registry=registry
        )
        self.show("standby")

    def show(self, state: str) -> None:
        """Say what is being done."""
        for name in STATES:
            self.state.labels(name).set(name == state)

    def count(self, crops: Iterable[LabelledCrop], bad: Mapping[str, int]) -> None:
        """Count what lies in the folder."""
        self.samples.clear()
        for (label, source), number in Count((crop.label, crop.source) for crop in crops).items():
            self.samples.labels(label, source).set(number)
        for reason in ("malformed", "missing", "outside"):
            self.bad.labels(reason).set(bad.get(reason, 0))

    def ended(self, outcome: str, report: Mapping[str, Any]) -> None:
        """Count a run that is over."""
        self.runs.labels(outcome).inc()
        self.progress.set(0)
        self.left.set(0)
        self.recall(report)

    def recall(self, report: Mapping[str, Any]) -> None:
        """Show what the last run's report says, after a restart too."""
        self.seconds.set(float(report.get("seconds", 0.0)))
        if "rulings" not in report:
            return
        self.passed.set(bool(report.get("passed")))
        broken = Count(ruling["rule"] for ruling in report["rulings"] if ruling["passed"] is False)
        for rule in sorted({ruling["rule"] for ruling in report["rulings"]}):
            self.gate.labels(rule).set(broken[rule])
