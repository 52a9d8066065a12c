"""What one core does, and whether it may be quoted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.models.manifest import Manifest, bundled, read_manifest
from maskwatch.bench.figures import Figure, Rounds
from workers.infer.settings import InferSettings
from workers.infer.vision.canvas import LONG_SIDE_PX

MOST_APART = 2.0
"""Where one round's p95 is more than so many times another's, frames queued because the core was not there."""


@dataclass(slots=True)
class CpuReport:
    """What one core does.

    Attributes:
        rounds: Frames a second by name, wall clock; ``cpu_…``, by processor time; and ``latency_…_ms``.
        stages: ms a frame in each stage.
        latency_ms: From publishing to the result, at `LOAD` of what the core can do; medians of rounds.
        faces_per_frame: Found by the worker, mean.
        memory_mb: Of the worker after all rounds.
        start_s: From starting the process to its first result, networks compiled before.
        reference: Why there is no reference; empty where there is one.
    """

    rounds: Rounds = field(default_factory=Rounds)
    stages: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    faces_per_frame: float = 0.0
    memory_mb: float = 0.0
    start_s: float = 0.0
    reference: str = ""

    def troubles(self) -> list[str]:
        """Say why the figures should not be quoted; empty where they may be."""
        found = []
        for name in ("fps", "decode_fps", "reference_fps"):
            figure, used = self.rounds.figure(name), self.rounds.figure(f"cpu_{name}")
            if figure is None or used is None:
                continue
            if not figure.quotable:
                found.append(f"{name}: the rounds lie too far apart ({figure}, {len(figure.rounds)} rounds)")
            elif figure.median < 0.85 * used.median:
                found.append(f"{name}: the core was shared, only {figure.median / used.median:.0%} of it was ours")
        late = self.rounds.values.get("latency_p95_ms", ())
        if late and max(late) > MOST_APART * min(late):
            found.append(
                f"latency_ms: the machine's speed changed meanwhile, p95 was {min(late):.0f} to {max(late):.0f}"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Give what ``--json`` prints; figures that were not measured are null."""
        rounds, troubles = self.rounds, self.troubles()
        named = _figures(rounds, "")
        return {
            **_medians(named),
            "latency_ms": self.latency_ms,
            "faces_per_frame": round(self.faces_per_frame, 2),
            "accuracy": accuracy(),
            "memory_mb": round(self.memory_mb),
            "start_s": round(self.start_s, 2),
            "stages_ms": {name: round(ms, 3) for name, ms in self.stages.items()},
            "processor_time": _medians(_figures(rounds, "cpu_")),
            "spread": {name: round(figure.spread, 3) for name, figure in named.items() if figure is not None},
            "rounds": len(rounds.values.get("fps", ())),
            "quotable": not troubles,
            "troubles": troubles,
            "reference": self.reference or "measured",
        }


def _figures(rounds: Rounds, clock: str) -> dict[str, Figure | None]:
    fps, floor, script = f"{clock}fps", f"{clock}decode_fps", f"{clock}reference_fps"
    return {
        "fps_per_core": rounds.figure(fps),
        "decode_fps": rounds.figure(floor),
        "decode_half_fps": rounds.figure(f"{clock}decode_half_fps"),
        "reference_fps": rounds.figure(script),
        "ratio_to_decode": rounds.ratio(fps, floor),
        "ratio_to_reference": rounds.ratio(fps, script),
    }


def _medians(figures: dict[str, Figure | None]) -> dict[str, float | None]:
    return {name: None if figure is None else round(figure.median, 3) for name, figure in figures.items()}


def accuracy() -> dict[str, Any]:
    """Give the figures of the release that is measured, as its cards have them.

    They were taken at the usual long side; where the settings say another, how many faces are found is not known here.
    """
    settings = InferSettings()
    long_side_px = settings.long_side_px
    detector = read_manifest(bundled("detector") / "manifest.json")
    classifier = read_manifest(bundled("classifier") / "manifest.json")
    return {
        "detector": f"{detector.name} {detector.version}",
        "long_side_px": long_side_px,
        "faces_average_precision": _faces_found(detector, settings) if long_side_px == LONG_SIDE_PX else None,
        "classifier": f"{classifier.name} {classifier.version}",
        "verdicts_right": _verdicts_right(classifier, settings),
    }


def _faces_found(detector: Manifest, settings: InferSettings) -> float | None:
    """Give what the card says of the way that the settings choose: a glance first, or all of it."""
    whole = _metric(detector.metrics, "val", "all", "average_precision")
    at_a_glance = _metric(detector.metrics, "scenes", "faces_ap") if settings.glance else None
    return at_a_glance or whole or _metric(detector.metrics, "average_precision", "trained", "all")


def _verdicts_right(classifier: Manifest, settings: InferSettings) -> float | None:
    """The same for the small network that is asked first."""
    together = _metric(classifier.metrics, "scenes", "accuracy_of_24_px") if settings.quick else None
    return together or _metric(classifier.metrics, "val", "accuracy") or _metric(classifier.metrics, "accuracy")


def _metric(metrics: Any, *path: str) -> float | None:
    for name in path:
        metrics = metrics.get(name) if isinstance(metrics, dict) else None
    return metrics if isinstance(metrics, float) else None
