"""What a GPU does, what limits it, and whether the figures may be quoted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maskwatch.bench.figures import Rounds
from maskwatch.bench.report import accuracy

LIMITS = {"decode_fps": "decoding", "networks_fps": "networks"}
WANTED = 0.6
"""Share of its limit that the whole should reach."""


@dataclass(slots=True)
class GpuReport:
    """What was measured.

    Attributes:
        batch: Frames of a batch.
        rounds: Frames a second by name: ``fps`` (JPEG to results), ``decode_fps``, ``networks_fps``, ``looking_fps``
            (all after decoding); ``host_ms`` is the processor's time for a frame of the whole.
        decoder: ``nvjpeg``, or ``cpu`` where the device has none that can be used.
        fallbacks: Frames that the CPU decoded in place of the device's decoder, in all rounds together.
        faces_per_frame: Found, mean.
        parity: How far results lie from those of the CPU's backend on the same frames.
        reference: That backend.
        warm_up_s: How long it took to record the networks.
        about: Device, libraries, memory.
    """

    batch: int
    rounds: Rounds = field(default_factory=Rounds)
    decoder: str = ""
    fallbacks: int = 0
    faces_per_frame: float = 0.0
    parity: dict[str, Any] = field(default_factory=dict)
    reference: str = ""
    warm_up_s: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)

    def limit(self) -> str:
        """Name what sets the limit: the slower one of decoding alone and the networks alone."""
        figures = {name: self.rounds.figure(name) for name in LIMITS}
        slowest = min((figure.median, name) for name, figure in figures.items() if figure is not None)
        return LIMITS[slowest[1]]

    def troubles(self) -> list[str]:
        """Say why the figures should not be quoted; empty where they may be."""
        names = ("fps", *LIMITS)
        figures = [(name, self.rounds.figure(name)) for name in names]
        found = [
            f"{name}: the rounds lie too far apart ({figure}, {len(figure.rounds)} rounds)"
            for name, figure in figures
            if figure is not None and not figure.quotable
        ]
        if self.parity and not self.parity["within"]:
            found.append(f"results differ from those of {self.reference} by more than is tolerated")
        if self.decoder == "cpu":
            found.append("frames were decoded on the CPU")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Give what ``--json`` prints."""
        rounds, troubles = self.rounds, self.troubles()
        below = next(name for name, limit in LIMITS.items() if limit == self.limit())
        ratio, decoding = rounds.ratio("fps", below), rounds.ratio("fps", "decode_fps")
        return {
            **{name: _median(rounds, name, 1) for name in ("fps", "decode_fps", "networks_fps", "looking_fps")},
            "host_ms": _median(rounds, "host_ms", 3),
            "limit": self.limit(),
            "ratio_to_limit": ratio and round(ratio.median, 3),
            "ratio_to_decode": decoding and round(decoding.median, 3),
            "batch": self.batch,
            "decoder": self.decoder,
            "fallbacks": self.fallbacks,
            "faces_per_frame": round(self.faces_per_frame, 2),
            "parity": self.parity,
            "reference": self.reference,
            "accuracy": accuracy(),
            "warm_up_s": round(self.warm_up_s, 2),
            **self.about,
            "spread": {name: round(figure.spread, 3) for name in rounds.values if (figure := rounds.figure(name))},
            "rounds": len(rounds.values.get("fps", ())),
            "quotable": not troubles,
            "troubles": troubles,
        }


def _median(rounds: Rounds, name: str, digits: int) -> float | None:
    figure = rounds.figure(name)
    return None if figure is None else round(figure.median, digits)
