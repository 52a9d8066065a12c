"""A few training pictures, as each network of a version sees them at work: what its ranges are measured on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import TrainingError
from common.images import Picture, paste, scale
from common.models.manifest import ModelVersion
from trainer.data.pictures import Portrait, Scene, Skips, load_picture
from trainer.faces.augment import CropPlan
from trainer.faces.cuts import PATCH_MARGIN, cut_all
from trainer.faces.finder import FaceFinder
from trainer.learning.classifier import crops_of
from trainer.release.ranges import Pictures

COUNT = 160
"""Pictures of a detector; of a classifier the faces in four times as many."""
CANVAS_PX = 320
"""Side of the square that a glance sees, px: half of the usual canvas."""
BATCH = 4
LEAST_FACE_PX = 16.0


def canvases_shown(scenes: Sequence[Scene], skips: Skips) -> list[Pictures]:
    """Give training pictures as a detector glances at them.

    Returns:
        Batches, each uint8, (4, 320, 320, 3), BGR.

    Raises:
        TrainingError: Too few pictures can be read.
    """
    train = [scene for scene in scenes if scene.split == "train"]
    order = np.random.default_rng(1).permutation(len(train))[:COUNT]
    pictures = (load_picture(train[int(place)].path, skips) for place in order)
    return in_batches(np.array([_canvas(picture) for picture in pictures if picture is not None], np.uint8))


def crops_shown(
    items: Sequence[Scene | Portrait], classifier: ModelVersion, finder: FaceFinder, skips: Skips
) -> list[Pictures]:
    """Give faces of training pictures as the classifier sees them.

    Returns:
        Batches, each uint8, (4, S, S, 3), BGR.

    Raises:
        TrainingError: There are too few faces.
    """
    about, random = classifier.classifier_input, np.random.default_rng(1)
    train = [item for item in items if item.split == "train"]
    chosen = [train[int(place)] for place in random.permutation(len(train))[: 4 * COUNT]]
    faces = cut_all(chosen, finder, skips, lambda _done: None)
    large = faces.select(faces.sizes >= LEAST_FACE_PX)
    return in_batches(crops_of(large, CropPlan(about.side, about.margin, PATCH_MARGIN)))


def in_batches(pictures: Pictures) -> list[Pictures]:
    """Cut pictures of one shape, (N, H, W, 3), into batches of four; what is left over is left out.

    Raises:
        TrainingError: There are fewer.
    """
    if len(pictures) < BATCH:
        raise TrainingError(f"only {len(pictures)} training pictures or faces to measure ranges on; {BATCH} are needed")
    return [pictures[start : start + BATCH] for start in range(0, len(pictures) - BATCH + 1, BATCH)]


def _canvas(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    factor = CANVAS_PX / max(height, width)
    canvas = np.empty((CANVAS_PX, CANVAS_PX, 3), np.uint8)
    paste(scale(picture, (max(1, round(width * factor)), max(1, round(height * factor)))), canvas)
    return canvas
