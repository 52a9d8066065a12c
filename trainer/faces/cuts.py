"""Cut every labelled face out of the training pictures as production would, with room around it for jitter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, iou_matrix, square_around
from common.images import Picture, crop
from common.models.manifest import LABELS
from trainer.data.pictures import Portrait, Scene, Skips, clip_faces, load_picture
from trainer.faces.finder import FaceFinder

PATCH_SIDE = 160
PATCH_MARGIN = 0.5
MIN_FACE_PX = 8.0
MATCH_IOU = 0.4
WHOLE_SCENES = {"rmfd"}  # sets of one-person labels on whole scenes: a picture in which no face is found shows none


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Faces cut with a margin of half the box on every side.

    Attributes:
        patches: uint8, (M, P, P, 3), BGR; the face box's longer side is P / 2 px; P is 160 if nothing else was asked.
        labels: int64, (M,), index into the label order.
        sizes: float32, (M,), longer side of the box in its picture, px.
        landmarks: float32, (M, 5, 2), x y in patch px; NaN where no detector found the face.
        sources: str, (M,).
        train: bool, (M,).
        detected: bool, (M,), whether the box is the detector's.
        names: str, (M,), the picture's name in its index.
        boxes: float32, (M, 4), x1 y1 x2 y2, px of the picture.
    """

    patches: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sizes: FloatArray
    landmarks: FloatArray
    sources: NDArray[np.str_]
    train: NDArray[np.bool_]
    detected: NDArray[np.bool_]
    names: NDArray[np.str_]
    boxes: FloatArray

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
    name: str = ""
    box: FloatArray = field(default_factory=lambda: np.zeros(4, np.float32))


def cut(
    picture: Picture, box: FloatArray, landmarks: FloatArray | None, side: int = PATCH_SIDE
) -> tuple[Picture, FloatArray]:
    """Cut one face with its landmarks carried along (NaN where there are none)."""
    square = square_around(box, PATCH_MARGIN)
    patch = crop(picture, square, side)
    if landmarks is None:
        return patch, np.full((5, 2), np.nan, np.float32)
    scale = side / float(square[2] - square[0])
    return patch, ((landmarks - square[:2]) * scale).astype(np.float32)


def cut_scene(scene: Scene, picture: Picture, finder: FaceFinder, side: int = PATCH_SIDE) -> Iterator[CutFace]:
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
        patch, landmarks = cut(picture, used, found.landmarks[best] if hit else None, side)
        label, train = LABELS.index(face.label), scene.split == "train"
        yield CutFace(patch, size, landmarks, label, scene.source, train, hit, scene.file, used)


def cut_portrait(portrait: Portrait, picture: Picture, finder: FaceFinder, side: int = PATCH_SIDE) -> Iterator[CutFace]:
    """Cut the principal face of a one-person picture; the whole picture if none is found and it is no whole scene.

    Passers-by do not share the picture's label, not even where the set says that everybody is masked.
    """
    padded, offset = pad(picture)
    found = finder.find(padded, 320)
    if not len(found.boxes) and portrait.source in WHOLE_SCENES:
        return
    height, width = picture.shape[:2]
    box, landmarks = np.array([0, 0, width, height], np.float32) + np.tile(offset, 2), None
    if len(found.boxes):
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        best = int(np.argmax(sides.prod(axis=1) * found.scores))
        box, landmarks = found.boxes[best], found.landmarks[best]
    patch, carried = cut(padded, box, landmarks, side)
    size, label, train = float((box[2:] - box[:2]).max()), LABELS.index(portrait.label), portrait.split == "train"
    own = (box - np.tile(offset, 2)).astype(np.float32)
    yield CutFace(patch, size, carried, label, portrait.source, train, landmarks is not None, portrait.file, own)


def pad(picture: Picture) -> tuple[Picture, FloatArray]:
    """Put a black border of a quarter around a picture, so that the detector sees faces that fill it."""
    border = max(picture.shape[:2]) // 4
    padded = np.pad(picture, ((border, border), (border, border), (0, 0)))
    return padded, np.array([border, border], np.float32)


def cut_all(
    items: Sequence[Scene | Portrait],
    finder: FaceFinder,
    skips: Skips,
    progress: Callable[[int], None],
    side: int = PATCH_SIDE,
) -> FaceSet:
    """Cut the faces of all pictures to patches of ``side`` px; unreadable pictures are noted in ``skips``."""
    faces: list[CutFace] = []
    for count, item in enumerate(items, 1):
        picture = load_picture(item.path, skips)
        if picture is not None and isinstance(item, Scene):
            whole = clip_faces(item, (picture.shape[1], picture.shape[0]), skips)
            faces.extend(cut_scene(whole, picture, finder, side))
        elif picture is not None and isinstance(item, Portrait):
            faces.extend(cut_portrait(item, picture, finder, side))
        progress(count)
    return gather(faces, side)


def gather(faces: list[CutFace], side: int = PATCH_SIDE) -> FaceSet:
    """Put cut faces, all with patches of ``side`` px, into arrays."""
    return FaceSet(
        patches=np.array([face.patch for face in faces], np.uint8).reshape(-1, side, side, 3),
        labels=np.array([face.label for face in faces], np.int64),
        sizes=np.array([face.size for face in faces], np.float32),
        landmarks=np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
        sources=np.array([face.source for face in faces], np.str_),
        train=np.array([face.train for face in faces], np.bool_),
        detected=np.array([face.detected for face in faces], np.bool_),
        names=np.array([face.name for face in faces], np.str_),
        boxes=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
    )
