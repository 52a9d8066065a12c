"""Where the faces of canvases are: every pixel at once, or a glance first and a second look where it pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from common.images import Picture, halve, paste
from common.models.decode import COLUMNS, STRIDES, DetectionBatch, Detections, decode_batch
from common.models.manifest import ModelVersion
from workers.backends.backend import Backend, Glancing, glancing
from workers.infer.vision.glance import (
    LEAST_SCORE,
    Glance,
    focus_places,
    half_of,
    on_half_canvases,
    plan,
    put_together,
)
from workers.infer.vision.patches import PATCH_PX, cut
from workers.infer.vision.timing import StageTimer, no_timer

Canvases = NDArray[np.uint8]
Network = Callable[[Canvases], NDArray[np.float32]]


class FaceSearch:
    """Looks at whole canvases. Used by one thread at a time.

    Args:
        detect: The detector: uint8 canvases (B, H, W, 3), BGR, to raw output; see `Backend.detect`.
        max_iou: Two faces of one canvas overlap by at most this, 0..1.
        timer: Told how long ``detect`` and ``boxes`` took.
    """

    def __init__(self, detect: Network, max_iou: float, timer: StageTimer = no_timer) -> None:
        self._detect, self.max_iou, self._timer = detect, max_iou, timer

    def faces(self, pictures: Sequence[Picture], canvas: tuple[int, int], min_score: float) -> list[Detections]:
        """Find faces.

        Args:
            pictures: Each uint8, (h, w, 3), BGR, scaled to lie in the upper left corner of its canvas.
            canvas: (width, height), px, multiples of 32.
            min_score: Faces below are left out, 0..1.

        Returns:
            One for each canvas, in its px.
        """
        began = perf_counter()
        canvases = np.empty((len(pictures), canvas[1], canvas[0], 3), np.uint8)
        for picture, target in zip(pictures, canvases, strict=True):
            paste(picture, target)
        self._timer("resize", perf_counter() - began)
        return self.on(canvases, min_score).split()

    def on(self, canvases: Canvases, min_score: float) -> DetectionBatch:
        """Find the faces of canvases, uint8, (B, H, W, 3), BGR; else as `faces`."""
        return self.with_raw(self._detect, canvases, min_score)[1]

    def spend(self, canvases: Canvases) -> None:
        """Compute what canvases take."""
        self._detect(canvases)

    def with_raw(
        self, network: Network, canvases: Canvases, min_score: float
    ) -> tuple[NDArray[np.float32], DetectionBatch]:
        """Have a network look at canvases; its first columns are those of the detector."""
        began = perf_counter()
        raw = network(canvases)
        detected = perf_counter()
        found = decode_batch(raw[..., :COLUMNS], (canvases.shape[2], canvases.shape[1]), min_score, self.max_iou)
        self._timer("detect", detected - began)
        self._timer("boxes", perf_counter() - detected)
        return raw, found


class GlancingSearch:
    """Glances at canvases, then looks at the places that deserve it. Used by one thread at a time.

    Args:
        search: Looks at places, and at whole canvases that are full of them.
        glances: Computes glances.
        focus: From this chance on that a face is there, a place is looked at again, 0..1.
        timer: Told how long ``resize`` (halving, cutting) and ``boxes`` took, beside what ``search`` tells.
    """

    def __init__(self, search: FaceSearch, glances: Glancing, focus: float, timer: StageTimer = no_timer) -> None:
        self._search, self._backend, self._focus, self._timer = search, glances, focus, timer

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Prepare for glances at these canvases, (width, height) px, and for batches of up to ``batch``."""
        self._backend.warm_up_glance(sorted({half_of(canvas) for canvas in canvases}), batch)

    def faces(
        self,
        pictures: Sequence[Picture],
        canvas: tuple[int, int],
        min_score: float,
        halves: Sequence[Picture | None] | None = None,
    ) -> list[Detections]:
        """Find faces as `FaceSearch.faces` does; canvases must be worth a glance.

        The patches of all canvases are looked at in one call, the canvases that are full of places in another.
        ``halves`` holds the pictures at half their size, see `common.images.halve`, where they are at hand.
        """
        half = self._halved(pictures, halves or [None] * len(pictures), canvas)
        glance = self._glance(half, canvas, min(LEAST_SCORE, min_score))
        looks = self._looks(pictures, half, glance, min_score)
        began = perf_counter()
        together = put_together(glance, looks, canvas, self._search.max_iou)
        found = together.chosen(together.scores >= min_score).split()
        self._timer("boxes", perf_counter() - began)
        crowded = [slot for slot, patches in enumerate(glance.patches) if patches is None]
        if crowded:
            whole = self._search.faces([pictures[slot] for slot in crowded], canvas, min_score)
            for slot, faces in zip(crowded, whole, strict=True):
                found[slot] = faces
        return found

    def spend(self, canvases: Canvases) -> None:
        """Compute what canvases usually take: a glance at each, and a quarter of them in patches."""
        canvas = (canvases.shape[2], canvases.shape[1])
        self._backend.glance(on_half_canvases([halve(picture) for picture in canvases], canvas))
        self._search.spend(canvases[: -(-len(canvases) // 4)])

    def _halved(
        self, pictures: Sequence[Picture], halves: Sequence[Picture | None], canvas: tuple[int, int]
    ) -> Canvases:
        began = perf_counter()
        ready = [halve(picture) if half is None else half for picture, half in zip(pictures, halves, strict=True)]
        half = on_half_canvases(ready, canvas)
        self._timer("resize", perf_counter() - began)
        return half

    def _glance(self, half: Canvases, canvas: tuple[int, int], min_score: float) -> Glance:
        raw, found = self._search.with_raw(self._backend.glance, half, min_score)
        began = perf_counter()
        rows, columns = half.shape[1] // STRIDES[0], half.shape[2] // STRIDES[0]
        chances = raw[:, : rows * columns, COLUMNS].reshape(-1, rows, columns)
        glance = plan(found, focus_places(chances, self._focus), canvas)
        self._timer("boxes", perf_counter() - began)
        return glance

    def _looks(self, pictures: Sequence[Picture], half: Canvases, glance: Glance, min_score: float) -> DetectionBatch:
        began = perf_counter()
        cuts = [(pictures[slot], corner) for slot, corner in glance.full_corners()]
        cuts += [(half[slot], corner) for slot, corner in glance.wide_corners()]
        squares = np.empty((len(cuts), PATCH_PX, PATCH_PX, 3), np.uint8)
        for (picture, corner), target in zip(cuts, squares, strict=True):
            cut(picture, corner, target)
        self._timer("resize", perf_counter() - began)
        return self._search.on(squares, min_score)


def glancing_search(
    search: FaceSearch, backend: Backend, detector: ModelVersion, timer: StageTimer
) -> GlancingSearch | None:
    """Give what glances before ``search`` looks; None where backend or detector cannot."""
    glances, facts = glancing(backend, detector), detector.manifest.glance
    return GlancingSearch(search, glances, facts.focus, timer) if glances and facts else None
