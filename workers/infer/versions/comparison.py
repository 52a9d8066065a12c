"""Two pairs of networks on the same frames, face by face and violation by violation: pure counting."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.geometry import iou_matrix
from workers.infer.vision.face import Face

MIN_FACE_PX, MIN_PROBABILITY = 20.0, 0.55
"""What may vote, as the judge's own limits are unless a plan says otherwise."""
SAME_FACE_IOU = 0.4
WINDOW, NEEDED = 5, 3
"""A would-be violation: a bare face in at least 3 of the last 5 compared frames of a camera."""
UNDETERMINED = "undetermined"


@dataclass(slots=True)
class Tally:
    """Sums of a comparison; the fields of ``ShadowReport`` with the same names say what they mean."""

    frames: int = 0
    agreed: int = 0
    disagreed: Counter[str] = field(default_factory=Counter)
    faces_base: int = 0
    faces_candidate: int = 0
    undetermined_base: int = 0
    undetermined_candidate: int = 0
    violations_both: int = 0
    violations_base: int = 0
    violations_candidate: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Camera:
    base: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    candidate: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    raised: set[str] = field(default_factory=set)


class Comparison:
    """Counts over frames; used by one thread at a time."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._cameras: dict[str, _Camera] = {}

    def add(self, camera: str, base: Sequence[Face], candidate: Sequence[Face]) -> bool:
        """Count one frame as both saw it, and say whether they agree."""
        ours, theirs = _voters(base), _voters(candidate)
        tally = self.tally
        tally.frames += 1
        tally.faces_base += len(ours)
        tally.faces_candidate += len(theirs)
        tally.undetermined_base += sum(_label(face) == UNDETERMINED for face in ours)
        tally.undetermined_candidate += sum(_label(face) == UNDETERMINED for face in theirs)
        differences = _differences(ours, theirs)
        tally.disagreed.update(differences)
        tally.agreed += not differences
        self._vote(camera, _bare(ours), _bare(theirs))
        return not differences

    def _vote(self, name: str, base: bool, candidate: bool) -> None:
        """Follow a spell: from the first side that raises until neither holds, counted once by who raised in it."""
        camera = self._cameras.setdefault(name, _Camera())
        camera.base.append(base)
        camera.candidate.append(candidate)
        holding = {side for side in ("base", "candidate") if sum(getattr(camera, side)) >= NEEDED}
        if not holding and camera.raised:
            which = "both" if len(camera.raised) == 2 else next(iter(camera.raised))
            counted = f"violations_{which}"
            setattr(self.tally, counted, getattr(self.tally, counted) + 1)
            camera.raised = set()
        camera.raised |= holding


def _voters(faces: Sequence[Face]) -> list[Face]:
    return [face for face in faces if max(face.box[2] - face.box[0], face.box[3] - face.box[1]) >= MIN_FACE_PX]


def _label(face: Face) -> str:
    return face.label if face.label_score >= MIN_PROBABILITY else UNDETERMINED


def _bare(faces: Sequence[Face]) -> bool:
    return any(_label(face) == "no_mask" for face in faces)


def _differences(base: Sequence[Face], candidate: Sequence[Face]) -> list[str]:
    left = set(range(len(candidate)))
    found = []
    overlaps = iou_matrix(_boxes(base), _boxes(candidate))
    for index, face in enumerate(base):
        near = max(left, key=lambda other: float(overlaps[index, other]), default=None)
        if near is None or overlaps[index, near] < SAME_FACE_IOU:
            found.append("missing")
            continue
        left.discard(near)
        ours, theirs = _label(face), _label(candidate[near])
        if ours != theirs:
            found.append(f"{ours}>{theirs}")
    return found + ["extra"] * len(left)


def _boxes(faces: Sequence[Face]) -> NDArray[np.float32]:
    return np.array([face.box for face in faces], np.float32).reshape(-1, 4)
