"""Draws figures beside a picture: histograms and sentences on one sheet, for people to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.images import Picture

_WIDTH, _PICTURE, _TALLEST, _EDGE = 1440, 900, 640, 24
_CHART_HEIGHT, _LINE = 150, 24
_PAPER, _INK, _GREY, _BAR = (250, 250, 248), (52, 46, 42), (150, 144, 138), (176, 122, 58)
_WEIGHTS = {"must": (58, 62, 226), "note": (38, 142, 232), "good": (88, 158, 62)}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PLAIN = str.maketrans({"°": " deg", "–": "-", "×": "x", "→": "->", "…": "..."})  # what the font has


@dataclass(frozen=True, slots=True)
class Chart:
    """One histogram.

    Attributes:
        title: What it shows.
        heights: A bar each.
        labels: A word below each bar; empty ones are left out.
    """

    title: str
    heights: Sequence[float]
    labels: Sequence[str]

    @classmethod
    def of(cls, title: str, values: Sequence[float], span: tuple[float, float], bars: int) -> Chart:
        """Count values into bars of equal width over a span; values outside count to the outermost bars."""
        counts, edges = np.histogram(np.clip(np.asarray(values, np.float64), *span), bars, span)
        every = max(1, bars // 4)
        labels = [f"{edge:.0f}" if index % every == 0 else "" for index, edge in enumerate(edges[:-1])]
        return cls(title, [float(count) for count in counts], labels)


def sheet(picture: Picture, charts: Sequence[Chart], head: str, words: Sequence[tuple[str, str, str]]) -> Picture:
    """Put a picture, charts and sentences on one sheet.

    Args:
        picture: uint8, (H, W, 3), BGR; shown upper left.
        charts: Shown to its right.
        head: Headline.
        words: Weight (``must``, ``note``, ``good``), sentence, reason.

    Returns:
        uint8, (H, 1440, 3), BGR, as high as it needs to be.
    """
    scale = min(_PICTURE / picture.shape[1], _TALLEST / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    top = 2 * _EDGE + _LINE
    body = max(shown.shape[0], len(charts) * _CHART_HEIGHT)
    lines = [line for one in words for line in _wrapped(*one)]
    canvas = np.full((top + body + (len(lines) + 2) * _LINE, _WIDTH, 3), _PAPER, np.uint8)
    _write(canvas, head, (_EDGE, _EDGE + _LINE), 0.8, _INK)
    canvas[top : top + shown.shape[0], _EDGE : _EDGE + shown.shape[1]] = shown
    left = _EDGE + _PICTURE + _EDGE
    for number, chart in enumerate(charts):
        _draw(canvas, chart, (left, top + number * _CHART_HEIGHT, _WIDTH - left - _EDGE))
    for number, (weight, line) in enumerate(lines):
        y = top + body + (number + 1) * _LINE + _EDGE // 2
        if weight:
            cv2.circle(canvas, (_EDGE + 8, y - 6), 6, _WEIGHTS.get(weight, _GREY), -1, cv2.LINE_AA)
        _write(canvas, line, (_EDGE + 28, y), 0.52, _INK)
    return canvas


def _wrapped(weight: str, words: str, reason: str) -> list[tuple[str, str]]:
    lines = textwrap.wrap(f"{words} ({reason})".translate(_PLAIN), 165) or [""]
    return [(weight if number == 0 else "", line) for number, line in enumerate(lines)]


def _draw(canvas: Picture, chart: Chart, place: tuple[int, int, int]) -> None:
    left, top, width = place
    base, room = top + _CHART_HEIGHT - 38, _CHART_HEIGHT - 78
    total = sum(chart.heights)
    _write(canvas, chart.title, (left, top + 14), 0.5, _INK)
    _write(canvas, f"{total:.0f} faces", (left + width - 90, top + 14), 0.42, _GREY)
    cv2.line(canvas, (left, base), (left + width, base), _GREY, 1)
    step = width / max(1, len(chart.heights))
    highest = max([*chart.heights, 1.0])
    for index, (count, label) in enumerate(zip(chart.heights, chart.labels, strict=True)):
        x = round(left + index * step)
        bar = round(room * count / highest)
        if bar:
            cv2.rectangle(canvas, (x + 2, base - bar), (round(x + step) - 3, base - 1), _BAR, -1)
        if label:
            _write(canvas, label, (x + 2, base + 16), 0.4, _GREY)
        if count and len(chart.heights) <= 6:
            _write(canvas, f"{count / total:.0%}", (x + 4, base - bar - 5), 0.42, _INK)


def _write(canvas: Picture, words: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, words.translate(_PLAIN), at, _FONT, size, colour, 1, cv2.LINE_AA)
