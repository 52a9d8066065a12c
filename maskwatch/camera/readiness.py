"""How well a camera shows faces: what was measured on them, summed up. Pure; pictures stay outside."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workers.infer.vision.canvas import LONG_SIDE_PX

BUCKETS: tuple[tuple[str, float, float], ...] = (
    ("<16", 0, 16),
    ("16-32", 16, 32),
    ("32-64", 32, 64),
    (">64", 64, math.inf),
)
"""Name, from, to: longer side of a face, px of the picture that is published."""

TURNED_DEG = 30.0
_NOSE_DEPTH = 0.6  # how far the tip of a nose stands out before the eyes, in distances between the eyes
_KNOWN_SHARE = 0.9
_LEAST_SUPPORT = 10  # faces of a size that its recall must rest on
_RANGE = re.compile(
    r"^\s*(?:(?P<from>[\d.]+)\s*[-–]\s*(?P<to>[\d.]+)|[<≤]\s*(?P<below>[\d.]+)|(?:[>≥]=?\s*)?(?P<above>[\d.]+)\+?)"
)


@dataclass(frozen=True, slots=True)
class FaceSample:
    """What was measured on one face.

    Attributes:
        px: Longer side in the published picture, px.
        detector_px: The same on the canvas that the detector looks at, px.
        yaw_deg: Turned to the picture's right (above 0) or left, degrees; an estimate from five points.
        drop: Where the nose is between eyes (0) and mouth (1); about 0.5 seen from the front, more from above.
        blur: Variance of the Laplacian; small is blurred.
        luma: Mean brightness of the face, 0–255.
        zone: Zone that the face is in; empty for none.
    """

    px: float
    detector_px: float
    yaw_deg: float
    drop: float
    blur: float
    luma: float
    zone: str = ""


@dataclass(slots=True)
class Survey:
    """Everything that was measured on a source.

    Attributes:
        source: Where from, without its password.
        size: As delivered (width, height), px.
        published: As it would be published, px.
        fps: Pictures a second, as delivered.
        own_rate: Whether the source itself decides how many pictures come.
        seconds: How long it was looked at, s.
        looked_at: Pictures that were looked at.
        lumas: Mean brightness of these, 0–255.
        sharpness: Laplacian variance of a 320 px copy of these.
        faces: All faces found.
        closer: Of the faces that a second look at twice the size finds, how many there were, and how many of them the
            usual look found too.
        detect_px: Long side at which faces were looked for.
        trouble: Why it ended early; empty where it did not.
    """

    source: str
    size: tuple[int, int] = (0, 0)
    published: tuple[int, int] = (0, 0)
    fps: float = 0.0
    own_rate: bool = True
    seconds: float = 0.0
    looked_at: int = 0
    lumas: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    faces: list[FaceSample] = field(default_factory=list)
    closer: tuple[int, int] = (0, 0)
    detect_px: int = LONG_SIDE_PX
    trouble: str = ""


def yaw_deg(landmarks: Sequence[tuple[float, float]]) -> float:
    """Estimate how far a head is turned, degrees, above 0 to the picture's right.

    A head is taken for a plane with the eyes in it and a nose that stands out by 0.6 eye distances: turned by an
    angle, the nose moves off the middle of the eyes by its sine and the eyes come closer by its cosine.

    Args:
        landmarks: Five x, y pairs, px: the eyes (the picture's left one first), nose tip, mouth corners.
    """
    (left_x, left_y), (right_x, right_y), (nose_x, nose_y) = landmarks[:3]
    across, down = right_x - left_x, right_y - left_y
    square = across * across + down * down
    if square < 1e-6:
        return 90.0  # one eye before the other: seen from the side
    offset = ((nose_x - (left_x + right_x) / 2) * across + (nose_y - (left_y + right_y) / 2) * down) / square
    return math.degrees(math.atan(offset / _NOSE_DEPTH))


def nose_drop(landmarks: Sequence[tuple[float, float]]) -> float:
    """Say where the nose is between the line of the eyes (0) and that of the mouth (1), held to -1…2."""
    (ax, ay), (bx, by), (nx, ny), (cx, cy), (dx, dy) = landmarks
    eyes, mouth = np.array([(ax + bx) / 2, (ay + by) / 2]), np.array([(cx + dx) / 2, (cy + dy) / 2])
    length = float(np.dot(mouth - eyes, mouth - eyes))
    if length < 1e-6:
        return 0.5
    return float(np.clip(np.dot(np.array([nx, ny]) - eyes, mouth - eyes) / length, -1, 2))


def figures(survey: Survey, recall: Mapping[str, float] | None) -> dict[str, Any]:
    """Sum a survey up as JSON: all faces together, and by zone where there are zones.

    Args:
        survey: What was measured.
        recall: Bucket of face size on the detector's canvas → share that the detector finds; None: not known.
    """
    seen, there = survey.closer[1], survey.closer[0]
    zones = sorted({face.zone for face in survey.faces} - {""})
    return {
        "source": survey.source,
        "delivered": {
            "width": survey.size[0],
            "height": survey.size[1],
            "fps": _round(survey.fps),
            "own_rate": survey.own_rate,
        },
        "published": {"width": survey.published[0], "height": survey.published[1]},
        "detect_px": survey.detect_px,
        "seconds": _round(survey.seconds),
        "pictures": survey.looked_at,
        "brightness": _spread(survey.lumas),
        "sharpness": _spread(survey.sharpness),
        **_of_faces(survey.faces, survey.looked_at),
        "recall_expected": expected_recall([face.detector_px for face in survey.faces], recall),
        "recall_by_size": dict(recall) if recall else "unknown",
        "second_look": {"faces": there, "found_by_usual_look": seen, "share": _round(seen / there) if there else None},
        "zones": {zone: _of_faces([f for f in survey.faces if f.zone == zone], survey.looked_at) for zone in zones},
        "trouble": survey.trouble,
    }


def _of_faces(faces: Sequence[FaceSample], pictures: int) -> dict[str, Any]:
    sizes = [face.px for face in faces]
    turned = [abs(face.yaw_deg) > TURNED_DEG for face in faces]
    return {
        "faces": len(faces),
        "faces_a_picture": _round(len(faces) / pictures) if pictures else 0.0,
        "face_px": _spread(sizes),
        "face_px_buckets": {name: sum(low <= px < high for px in sizes) for name, low, high in BUCKETS},
        "detector_px": _spread([face.detector_px for face in faces]),
        "yaw_deg": _spread([face.yaw_deg for face in faces]),
        "turned_share": _round(sum(turned) / len(faces)) if faces else None,
        "nose_drop": _spread([face.drop for face in faces]),
        "blur": _spread([face.blur for face in faces]),
        "face_brightness": _spread([face.luma for face in faces]),
    }


def expected_recall(sizes: Sequence[float], recall: Mapping[str, float] | None) -> float | str:
    """Estimate which share of all faces at these sizes is found, 0–1; ``unknown`` where a tenth is of unknown sizes.

    A face that is found with a chance of 1 in 4 stands for 4 that were there, so that missed ones are not forgotten.
    """
    ranges = [(*span, share) for name, share in (recall or {}).items() if (span := span_of(name)) is not None]
    shares = [next((share for low, high, share in ranges if low <= px < high), None) for px in sizes]
    known = [share for share in shares if share is not None]
    if not known or len(known) < _KNOWN_SHARE * len(sizes):
        return "unknown"
    return _round(len(known) / sum(1 / max(share, 0.01) for share in known))


def span_of(name: str) -> tuple[float, float] | None:
    """Read the name of a size bucket: ``<16``, ``16-32``, ``>64``, ``64+``, with or without px; None if it is none."""
    match = _RANGE.match(name.removeprefix("px"))
    if match is None:
        return None
    if match["below"]:
        return 0.0, float(match["below"])
    if match["above"]:
        return float(match["above"]), math.inf
    return float(match["from"]), float(match["to"])


def recall_table(metrics: Mapping[str, Any]) -> dict[str, float] | None:
    """Find recall by size of face in the figures of a detector's manifest; None where it is not there.

    ``recall_by_size`` (bucket → share, or → an object with ``recall`` and ``support``) is taken where it is there, else
    the one figure for faces of at least 24 px.
    """
    whole = _under(metrics, "val", "all") or _under(metrics, "val") or {}
    for holder in (metrics, whole):
        table = _under(holder, "recall_by_size", "trained") or _under(holder, "recall_by_size") or {}
        found = {str(name): share for name, row in table.items() if (share := _recall_in(row)) is not None}
        found = {name: share for name, share in found.items() if span_of(name) is not None}
        if found:
            return found
    large = _recall_in(whole.get("recall_of_24_px"))
    return None if large is None else {"≥24": large}


def _under(content: Mapping[str, Any], *path: str) -> Mapping[str, Any] | None:
    for key in path:
        below = content.get(key)
        if not isinstance(below, Mapping):
            return None
        content = below
    return content


def _recall_in(row: object) -> float | None:
    if isinstance(row, Mapping):
        return _recall_in(row.get("recall")) if row.get("support", _LEAST_SUPPORT) >= _LEAST_SUPPORT else None
    return float(row) if isinstance(row, int | float) and 0 <= row <= 1 else None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.percentile(np.asarray(values, np.float64), [10, 50, 90])
    return {"p10": _round(low), "median": _round(middle), "p90": _round(high)}


def _round(value: float) -> float:
    return round(float(value), 2)
