"""Draws what was seen on a picture: face boxes with verdicts, the camera's name and the time.

Used for looking at results by eye; nothing of this travels through the broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.events import Verdict
from common.images import Picture
from common.schema import LABELS, FaceReading

Colour = tuple[int, int, int]

COLOURS: dict[Verdict, Colour] = {
    "mask": (88, 178, 62),
    "no_mask": (58, 62, 226),
    "incorrect": (38, 162, 242),
    "undetermined": (150, 146, 142),
}
_WORDS: dict[Verdict, str] = {
    "mask": "mask",
    "no_mask": "no mask",
    "incorrect": "incorrect",
    "undetermined": "undetermined",
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADE = 0.45
_LETTERS = 0.58


@dataclass(frozen=True, slots=True)
class Mark:
    """One face to draw.

    Attributes:
        box: x1, y1, x2, y2, px of the picture; may reach outside.
        verdict: Decides colour and words.
        probability: Of the verdict, 0..1; None leaves it out.
        note: Further words on the label, such as a track's number.
        violation: Whether an episode runs on this face; its box is drawn bold.
    """

    box: tuple[float, float, float, float]
    verdict: Verdict
    probability: float | None = None
    note: str = ""
    violation: bool = False

    @classmethod
    def of_reading(cls, face: FaceReading, size: tuple[int, int], *, violation: bool = False) -> Mark:
        """Take a face from a result, for a picture of ``size`` (width, height) px."""
        x1, y1, x2, y2 = face.box
        best = max(range(len(LABELS)), key=face.probabilities.__getitem__)
        box = (x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1])
        return cls(box, LABELS[best], face.probabilities[best], violation=violation)

    @property
    def words(self) -> str:
        """What the label says."""
        share = "" if self.probability is None else f" {self.probability:.0%}"
        return f"{self.note} {_WORDS[self.verdict]}{share}".strip()


def annotate(picture: Picture, marks: Sequence[Mark], title: str = "", moment: str = "") -> Picture:
    """Draw marks, title and moment on a copy of a picture; lines and letters grow with the picture.

    Args:
        picture: uint8, (H, W, 3), BGR; left as it is.
        marks: The faces.
        title: Shown in the upper left corner, such as the camera's name; empty for none.
        moment: Shown in the upper right corner, such as a time; empty for none.

    Returns:
        uint8, (H, W, 3), BGR.
    """
    canvas = picture.copy()
    unit = _unit(picture)
    for mark in sorted(marks, key=lambda mark: mark.violation):
        _draw(canvas, mark, unit)
    if title:
        _plate(canvas, title, (round(8 * unit), round(8 * unit)), unit)
    if moment:
        width = _text_size(moment, unit)[0] + round(12 * unit)
        _plate(canvas, moment, (canvas.shape[1] - width - round(8 * unit), round(8 * unit)), unit)
    return canvas


def write_plate(picture: Picture, words: str, corner: tuple[int, int]) -> None:
    """Write words on a dark plate, in place; ``corner`` is its upper left one, px, and is moved inside."""
    unit = _unit(picture)
    width, height = _text_size(words, unit)
    pad = 2 * round(6 * unit)
    x, y = (
        max(0, min(at, side - size - pad))
        for at, side, size in zip(corner, (picture.shape[1], picture.shape[0]), (width, height), strict=True)
    )
    _plate(picture, words, (x, y), unit)


def _unit(picture: Picture) -> float:
    """Say how large one drawing unit is, px: 1 at a longer side of 960 px, never unreadably small."""
    return float(max(max(picture.shape[:2]) / 960, 0.62))


def _draw(canvas: Picture, mark: Mark, unit: float) -> None:
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (round(value) for value in mark.box)
    x1, x2 = (min(max(x, 0), width - 1) for x in (x1, x2))
    y1, y2 = (min(max(y, 0), height - 1) for y in (y1, y2))
    colour = COLOURS[mark.verdict]
    if mark.violation:
        _veil(canvas, (x1, y1, x2, y2), colour)
    line = max(1, round((3 if mark.violation else 1.6) * unit))
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line, cv2.LINE_AA)
    _corners(canvas, (x1, y1, x2, y2), colour, line + max(1, round(1.6 * unit)))
    _label(canvas, mark.words, (x1, y1, y2), (colour, unit))


def _veil(canvas: Picture, box: tuple[int, int, int, int], colour: Colour) -> None:
    x1, y1, x2, y2 = box
    region = canvas[y1:y2, x1:x2]
    if region.size:
        region[:] = cv2.addWeighted(region, 0.84, np.full_like(region, colour), 0.16, 0)


def _corners(canvas: Picture, box: tuple[int, int, int, int], colour: Colour, line: int) -> None:
    x1, y1, x2, y2 = box
    arm = max(3, round(min(x2 - x1, y2 - y1) * 0.2))
    for x, y, right, down in ((x1, y1, 1, 1), (x2, y1, -1, 1), (x1, y2, 1, -1), (x2, y2, -1, -1)):
        cv2.line(canvas, (x, y), (x + right * arm, y), colour, line, cv2.LINE_AA)
        cv2.line(canvas, (x, y), (x, y + down * arm), colour, line, cv2.LINE_AA)


def _label(canvas: Picture, words: str, at: tuple[int, int, int], style: tuple[Colour, float]) -> None:
    (x, top, bottom), (colour, unit) = at, style
    width, height = _text_size(words, unit)
    pad = max(2, round(4 * unit))
    box_height = height + 2 * pad
    # Above the face where there is room, else below it, so that the face itself stays visible.
    y = top - box_height if top >= box_height else min(bottom, canvas.shape[0] - box_height)
    x = max(0, min(x, canvas.shape[1] - width - 2 * pad))
    cv2.rectangle(canvas, (x, y), (x + width + 2 * pad, y + box_height), colour, -1)
    _write(canvas, words, (x + pad, y + pad + height), unit)


def _plate(canvas: Picture, words: str, corner: tuple[int, int], unit: float) -> None:
    width, height = _text_size(words, unit)
    pad = round(6 * unit)
    x, y = max(0, corner[0]), corner[1]
    region = canvas[y : y + height + 2 * pad, x : x + width + 2 * pad]
    region[:] = (region * _SHADE).astype(np.uint8)
    _write(canvas, words, (x + pad, y + pad + height), unit)


def _write(canvas: Picture, words: str, at: tuple[int, int], unit: float) -> None:
    weight = max(1, round(1.1 * unit))
    cv2.putText(canvas, words, at, _FONT, _LETTERS * unit, (255, 255, 255), weight, cv2.LINE_AA)


def _text_size(words: str, unit: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(words, _FONT, _LETTERS * unit, max(1, round(1.1 * unit)))
    return width, height
