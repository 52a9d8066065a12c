"""Cut every labelled face out of the training pictures as production would, with room around it for jitter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, iou_matrix, square_around
from common.images import Picture, crop
from common.models.decode import Detections
from common.models.manifest import LABELS
from trainer.data import Portrait, Scene, Skips, clip_faces, load_picture
from trainer.finder import FaceFinder

PATCH_SIDE = 160
PATCH_MARGIN = 0.5
MIN_FACE_PX = 8.0
MATCH_IOU = 0.4


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Faces cut with a margin of half the box on every side.

    Attributes:
        patches: uint8, (M, 160, 160, 3), BGR; the face box's longer side is 80 px.
        labels: int64, (M,), index into the label order.
        sizes: float32, (M,), longer side of the box in its picture, px.
        landmarks: float32, (M, 5, 2), x y in patch px; NaN where no detector found the face.
        sources: str, (M,).
        train: bool, (M,).
        detected: bool, (M,), whether the box is the detector's.
    """

    patches: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sizes: FloatArray
    landmarks: FloatArray
    sources: NDArray[np.str_]
    train: NDArray[np.bool_]
    detected: NDArray[np.bool_]

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> FaceSet:
        """Give a subset."""
        return FaceSet(*(getattr(self, name)[chosen] for name in self.__slots__))

    def save(self, path: Path, about: str = "") -> None:
        """Write to an uncompressed ``.npz``, aside first; ``about`` is kept beside the arrays."""
        aside = path.with_name(f".{path.stem}.partial.npz")
        try:
            np.savez(aside, about=np.array(about), **{name: getattr(self, name) for name in self.__slots__})
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> FaceSet:
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            return cls(*(stored[name] for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class CutFace:
    """One face on its way into a ``FaceSet``."""

    patch: Picture
    size: float
    landmarks: FloatArray
    label: int
    source: str
    train: bool
    detected: bool


def cut(picture: Picture, box: FloatArray, landmarks: FloatArray | None) -> tuple[Picture, FloatArray]:
    """Cut one face with its landmarks carried along (NaN where there are none)."""
    square = square_around(box, PATCH_MARGIN)
    patch = crop(picture, square, PATCH_SIDE)
    if landmarks is None:
        return patch, np.full((5, 2), np.nan, np.float32)
    scale = PATCH_SIDE / float(square[2] - square[0])
    return patch, ((landmarks - square[:2]) * scale).astype(np.float32)


def cut_scene(scene: Scene, picture: Picture, finder: FaceFinder) -> Iterator[CutFace]:
    """Cut the labelled faces of a scene: the detector's box where it found the face, else the labelled one."""
    found = finder.find(picture)
    overlaps = iou_matrix(scene.boxes, found.boxes)
    for face, box, overlap in zip(scene.faces, scene.boxes, overlaps, strict=True):
        best = int(overlap.argmax()) if len(overlap) else -1
        hit = best >= 0 and overlap[best] >= MATCH_IOU
        used = found.boxes[best] if hit else box
        size = float(max(used[2] - used[0], used[3] - used[1]))
        if size < MIN_FACE_PX:
            continue
        patch, landmarks = cut(picture, used, found.landmarks[best] if hit else None)
        yield CutFace(patch, size, landmarks, LABELS.index(face.label), scene.source, scene.split == "train", hit)


def cut_portrait(portrait: Portrait, picture: Picture, finder: FaceFinder) -> Iterator[CutFace]:
    """Cut the face of a one-person picture; all where everybody wears it alike; the whole picture if none is found."""
    padded, offset = pad(picture)
    found = finder.find(padded, 320)
    everyone = portrait.source == "rmfd"
    for index in _foreground(found) if everyone else _principal(found):
        size = float(max(found.boxes[index][2:] - found.boxes[index][:2]))
        patch, landmarks = cut(padded, found.boxes[index], found.landmarks[index])
        yield _portrait_face(portrait, patch, landmarks, size, detected=True)
    if len(found.boxes) or everyone:
        return
    height, width = picture.shape[:2]
    whole = np.array([0, 0, width, height], np.float32) + np.tile(offset, 2)
    patch, landmarks = cut(padded, whole, None)
    yield _portrait_face(portrait, patch, landmarks, float(max(height, width)), detected=False)


def pad(picture: Picture) -> tuple[Picture, FloatArray]:
    """Put a black border of a quarter around a picture, so that the detector sees faces that fill it."""
    border = max(picture.shape[:2]) // 4
    padded = np.pad(picture, ((border, border), (border, border), (0, 0)))
    return padded, np.array([border, border], np.float32)


def _principal(found: Detections) -> list[int]:
    if not len(found.boxes):
        return []
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return [int(np.argmax(sides.prod(axis=1) * found.scores))]


def _foreground(found: Detections) -> list[int]:
    """Give the sure faces nearly as large as the largest: passers-by behind do not share the picture's label."""
    longest = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    near = (longest >= 0.7 * longest.max(initial=0)) & (found.scores >= 0.7)
    return [int(index) for index in np.flatnonzero(near)]


def _portrait_face(
    portrait: Portrait, patch: Picture, landmarks: FloatArray, size: float, *, detected: bool
) -> CutFace:
    label = LABELS.index(portrait.label)
    return CutFace(patch, size, landmarks, label, portrait.source, portrait.split == "train", detected)


def cut_all(
    items: list[Scene | Portrait], finder: FaceFinder, skips: Skips, progress: Callable[[int], None]
) -> FaceSet:
    """Cut the faces of all pictures; unreadable ones are noted in ``skips``."""
    faces: list[CutFace] = []
    for count, item in enumerate(items, 1):
        picture = load_picture(item.path, skips)
        if picture is not None and isinstance(item, Scene):
            whole = clip_faces(item, (picture.shape[1], picture.shape[0]), skips)
            faces.extend(cut_scene(whole, picture, finder))
        elif picture is not None and isinstance(item, Portrait):
            faces.extend(cut_portrait(item, picture, finder))
        progress(count)
    return gather(faces)


def gather(faces: list[CutFace]) -> FaceSet:
    """Put cut faces into arrays."""
    return FaceSet(
        patches=np.array([face.patch for face in faces], np.uint8).reshape(-1, PATCH_SIDE, PATCH_SIDE, 3),
        labels=np.array([face.label for face in faces], np.int64),
        sizes=np.array([face.size for face in faces], np.float32),
        landmarks=np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
        sources=np.array([face.source for face in faces], np.str_),
        train=np.array([face.train for face in faces], np.bool_),
        detected=np.array([face.detected for face in faces], np.bool_),
    )
