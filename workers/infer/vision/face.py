"""A face as the pipeline gives it, before it travels."""

from __future__ import annotations

from dataclasses import dataclass

from common.schema import LABELS, FaceReading, Label


@dataclass(frozen=True, slots=True)
class Face:
    """One face, in pixels of the full-size frame.

    Attributes:
        box: x1, y1, x2, y2, px; may reach slightly outside the frame.
        score: The detector's confidence, 0..1.
        probabilities: 0..1, in the order of ``common.schema.LABELS``.
        landmarks: Five x, y pairs, px: the eyes (the picture's left one first), nose tip, mouth corners.
        blur: Variance of the Laplacian over the face, as crops of 112 px show it; small is blurred.
    """

    box: tuple[float, float, float, float]
    score: float
    probabilities: tuple[float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    blur: float

    @property
    def label(self) -> Label:
        """The most probable label."""
        return LABELS[max(range(3), key=self.probabilities.__getitem__)]

    @property
    def label_score(self) -> float:
        """The probability of that label, 0..1."""
        return max(self.probabilities)

    def relative(self, width: int, height: int) -> FaceReading:
        """Write the face as it travels: coordinates relative to a frame of this size in px."""
        x1, y1, x2, y2 = self.box
        return FaceReading(
            box=(_share(x1, width), _share(y1, height), _share(x2, width), _share(y2, height)),
            score=self.score,
            probabilities=self.probabilities,
            landmarks=tuple((_share(x, width), _share(y, height)) for x, y in self.landmarks),
            blur=round(self.blur, 2),
        )


def _share(value: float, side: int) -> float:
    return round(min(2.0, max(-1.0, value / side)), 5)
