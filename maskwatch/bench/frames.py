"""Frames to measure with: made here, the same on every machine, with a known number of faces in each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common import jpeg
from producers.scene import SceneCamera

QUALITY = 80
SCENES = 64
LONGEST_S = 64.0
STEP_S = 0.9
SHOWN_A_SCENE = 4


def bench_frames(count: int, size: tuple[int, int] = (1280, 720), faces: int = 3) -> list[bytes]:
    """Draw frames of the synthetic hall, each with exactly ``faces`` people wholly in the picture.

    Args:
        count: How many.
        size: (width, height), px, 4:3 or wider.
        faces: 1 to 3.

    Returns:
        JPEG files of quality 80.

    Raises:
        ValueError: The scenes do not hold so many such frames.
    """
    drawn = []
    for picture in _pictures(size, faces):
        drawn.append(jpeg.encode(picture, QUALITY))
        if len(drawn) == count:
            return drawn
    raise ValueError(f"only {len(drawn)} frames with {faces} faces; at most 3 people are in the hall")


def _pictures(size: tuple[int, int], faces: int) -> Iterator[jpeg.Image]:
    for number in range(SCENES):
        scene, shown = SceneCamera(f"bench-{number}", 0, size), 0
        for t in np.arange(STEP_S, LONGEST_S, STEP_S):
            seen = scene.faces(float(t))
            if shown < SHOWN_A_SCENE and len(seen) == faces and all(face.visible for face in seen):
                shown += 1
                yield scene.frame(float(t))
