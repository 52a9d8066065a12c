"""Which faces of a frame are worth a picture. Pure; monotonic time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.pictures import CANDIDATE_S, PictureRef, PictureRules, drawn
from common.schema import FaceReading

CLEARLY_COVERED = 0.7
UNCERTAIN_BELOW = 0.75
LEAST_FACE_PX = 24
PICTURES_A_SECOND, BURST = 2.0, 4.0
UNCERTAIN_EVERY_S = 10.0


class Wanted(NamedTuple):
    """A face that is to be pictured.

    Attributes:
        ref: Its name as a snapshot.
        snapshot: Whether a snapshot is wanted.
        crop_s: How long a crop is to live, s; 0 for none.
        suspected: Whether it may be a violation, rather than drawn at random or kept for doubt only.
    """

    ref: PictureRef
    snapshot: bool
    crop_s: float
    suspected: bool = False


class Allowance(NamedTuple):
    """How much may be pictured now.

    Attributes:
        now: Monotonic time, s.
        most: Suspected faces at most.
    """

    now: float
    most: int = 1000


@dataclass(slots=True)
class _Camera:
    budget: float = BURST
    at_s: float = 0.0
    uncertain_s: float = float("-inf")
    places: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=16))


class Chooser:
    """Keeps within a bounded number of pictures a second for each camera; used by one thread."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def choose(
        self,
        rules: PictureRules,
        name: PictureRef,
        seen: tuple[Sequence[FaceReading], tuple[int, int]],
        allowed: Allowance,
    ) -> list[Wanted]:
        """Choose faces of one frame.

        Args:
            rules: What is allowed at its camera.
            name: Names the frame; the face in it does not matter.
            seen: The faces, and the frame's size (width, height), px.
            allowed: How much may be pictured now.

        Returns:
            What is wanted, by place in the result. Faces drawn at random are never left out for the budget's sake, as
            that would favour quiet hours.
        """
        if rules.silent:
            return []
        now = allowed.now
        camera = self._cameras.setdefault(name.camera, _Camera(at_s=now))
        camera.budget = min(BURST, camera.budget + PICTURES_A_SECOND * max(0.0, now - camera.at_s))
        camera.at_s = now
        suspected = self._suspected(camera, *seen, allowed)
        return [
            wanted
            for index, face in enumerate(seen[0])
            if (
                wanted := _wanted(rules, name._replace(face=index), index in suspected, self._kept(rules, camera, face))
            )
        ]

    def _suspected(
        self, camera: _Camera, faces: Sequence[FaceReading], size: tuple[int, int], allowed: Allowance
    ) -> frozenset[int]:
        """Take the faces that may be violations, those first that were not pictured for long, and the larger."""
        ranked = sorted(
            (_pictured_at(camera, face), -_side_px(face, size) * (1 - face.probabilities[0]), index)
            for index, face in enumerate(faces)
            if face.probabilities[0] < CLEARLY_COVERED and _side_px(face, size) >= LEAST_FACE_PX
        )
        chosen: list[int] = []
        for _, _, index in ranked:
            if camera.budget < 1 or len(chosen) >= allowed.most:
                break
            camera.budget -= 1
            camera.places.append((*_centre(faces[index]), allowed.now))
            chosen.append(index)
        return frozenset(chosen)

    def _kept(self, rules: PictureRules, camera: _Camera, face: FaceReading) -> bool:
        """Say whether a crop of the face is to be kept because the networks were not sure of it."""
        if not rules.crops or max(face.probabilities) >= UNCERTAIN_BELOW:
            return False
        if camera.at_s - camera.uncertain_s < UNCERTAIN_EVERY_S:
            return False
        camera.uncertain_s = camera.at_s
        return True


def _wanted(rules: PictureRules, ref: PictureRef, suspected: bool, uncertain: bool) -> Wanted | None:
    crop_s = 0.0
    if rules.crops:
        kept = uncertain or drawn(ref, rules.crop_share)
        crop_s = rules.crop_s if kept else float(CANDIDATE_S) if suspected else 0.0
    snapshot = rules.snapshots and suspected
    return Wanted(ref._replace(kind="snapshot"), snapshot, crop_s, suspected) if snapshot or crop_s else None


def _pictured_at(camera: _Camera, face: FaceReading) -> float:
    """Say when whoever is there was pictured last, monotonic s; long ago for somebody new."""
    x, y = _centre(face)
    reach_x, reach_y = face.box[2] - face.box[0], face.box[3] - face.box[1]
    times = [at for old_x, old_y, at in camera.places if abs(x - old_x) < reach_x and abs(y - old_y) < reach_y]
    return max(times, default=float("-inf"))


def _centre(face: FaceReading) -> tuple[float, float]:
    x1, y1, x2, y2 = face.box
    return (x1 + x2) / 2, (y1 + y2) / 2


def _side_px(face: FaceReading, size: tuple[int, int]) -> float:
    x1, y1, x2, y2 = face.box
    return max((x2 - x1) * size[0], (y2 - y1) * size[1])
