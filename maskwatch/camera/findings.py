"""How the result of ``maskwatch camera check`` is shown: as lines, and as one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from common.images import Picture
from maskwatch.camera.readiness import Survey
from maskwatch.camera.siting import Advice
from maskwatch.look.looking import mark_of
from workers.annotate import annotate
from workers.charts import Chart, sheet
from workers.infer.vision.face import Face


class Seen(Protocol):
    """What is needed of `maskwatch.camera.surveying.Surveyor`."""

    survey: Survey
    best: Picture | None
    best_faces: list[Face]


def lines(report: Mapping[str, Any], advice: Sequence[Advice]) -> Iterator[str]:
    """Write figures and advice for people."""
    sent = report["delivered"]
    yield f"{report['source']}: {report['verdict']}"
    yield (
        f"  {report['pictures']} pictures of {report['seconds']:g} s, delivered {sent['width']} × {sent['height']} px "
        f"at {sent['fps']:g} frames a second, looked at {report['published']['width']} px wide"
    )
    buckets = ", ".join(f"{name} px: {count}" for name, count in report["face_px_buckets"].items())
    yield f"  {report['faces']} faces; {buckets}"
    for zone, part in report["zones"].items():
        shares = ", ".join(f"{name} px: {count}" for name, count in part["face_px_buckets"].items())
        yield f"  zone {zone}: {part['faces']} faces; {shares}"
    for name, label in (("yaw_deg", "turned, degrees"), ("blur", "sharpness of faces"), ("brightness", "brightness")):
        if report[name]:
            spread = report[name]
            yield f"  {label}: median {spread['median']:g}, 10% below {spread['p10']:g}, 10% above {spread['p90']:g}"
    yield f"  recall to expect at these sizes: {_share(report['recall_expected'])}"
    for one in advice:
        yield f"  {'ok' if one.weight == 'good' else one.weight:4}  {one.words} ({one.reason})"
    if report["trouble"]:
        yield f"  ended early: {report['trouble']}"
    if "picture" in report:
        yield f"  picture: {report['picture']}"


def _share(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0%}"


def picture_of(seen: Seen, report: Mapping[str, Any], advice: Sequence[Advice]) -> Picture:
    """Draw the picture with the most faces, histograms and advice on one sheet; uint8, (H, W, 3), BGR."""
    survey = seen.survey
    best = seen.best if seen.best is not None else np.zeros((360, 640, 3), np.uint8)
    marks = [mark_of(face) for face in seen.best_faces]
    charts = [
        Chart(
            "face size, px",
            [float(count) for count in report["face_px_buckets"].values()],
            list(report["face_px_buckets"]),
        ),
        Chart.of("turned, degrees (30 is the limit)", [face.yaw_deg for face in survey.faces], (-90, 90), 12),
        Chart.of("sharpness of faces (60 and more is sharp)", [face.blur for face in survey.faces], (0, 300), 12),
        Chart.of("brightness of faces", [face.luma for face in survey.faces], (0, 256), 12),
    ]
    words = [(one.weight, one.words, one.reason) for one in advice]
    head = f"{Path(report['source'].partition('?')[0]).name}: {report['verdict']}"
    return sheet(annotate(best, marks), charts, head, words)
