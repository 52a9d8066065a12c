"""Where the faces of canvases are: every pixel at once, or a glance first and a second look where it pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from common.models.decode import COLUMNS, STRIDES, Detections, decode
from common.models.manifest import ModelVersion
from workers.backends.backend import Backend, Glancing, glancing
from workers.infer.vision.glance import LEAST_SCORE, Glance, focus_places, half_of, halved, plan, put_together
from workers.infer.vision.patches import cut
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

    def faces(self, canvases: Canvases, min_score: float) -> list[Detections]:
        """Find faces.

        Args:
            canvases: uint8, (B, H, W, 3), BGR; H and W multiples of 32.
            min_score: Faces below are left out, 0..1.

        Returns:
            One for each canvas, in its px.
        """
        return self.with_raw(self._detect, canvases, min_score)[1]

    def spend(self, canvases: Canvases) -> None:
        """Compute what canvases take."""
        self._detect(canvases)

    def with_raw(
        self, network: Network, canvases: Canvases, min_score: float
    ) -> tuple[NDArray[np.float32], list[Detections]]:
        """Have a network look at canvases; its first columns are those of the detector."""
        began = perf_counter()
        raw = network(canvases)
        detected = perf_counter()
        found = decode(raw[..., :COLUMNS], (canvases.shape[2], canvases.shape[1]), min_score, self.max_iou)
        self._timer("detect", detected - began)
        self._timer("boxes", perf_counter() - detected)
        return raw, found


class GlancingSearch:
    """Glances at canvases, then looks at the places that deserve it. Used by one thread at a time.

    Args:
        search: Looks at places, and at whole canvases that are full of them.
        glances: Computes glances.
        focus: From this chance on that a small face is there, a place is looked at, 0..1.
        timer: Told how long ``resize`` (halving) and ``boxes`` took, beside what ``search`` tells.
    """

    def __init__(self, search: FaceSearch, glances: Glancing, focus: float, timer: StageTimer = no_timer) -> None:
        self._search, self._backend, self._focus, self._timer = search, glances, focus, timer

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Prepare for glances at these canvases, (width, height) px, and for batches of up to ``batch``."""
        self._backend.warm_up_glance(sorted({half_of(canvas) for canvas in canvases}), batch)

    def faces(self, canvases: Canvases, min_score: float) -> list[Detections]:
        """Find faces as `FaceSearch.faces` does; canvases must be worth a glance.

        The patches of all canvases are looked at in one call, the canvases that are full of places in another.
        """
        canvas = (canvases.shape[2], canvases.shape[1])
        glances = self._glances(canvases, min(LEAST_SCORE, min_score))
        crowded = [slot for slot, glance in enumerate(glances) if glance.patches is None]
        found = dict(zip(crowded, self._search.faces(canvases[crowded], min_score), strict=True)) if crowded else {}
        looks = iter(self._looks(canvases, glances, min_score))
        began = perf_counter()
        for slot, glance in enumerate(glances):
            if glance.patches is not None:
                own = [next(looks) for _ in glance.patches]
                found[slot] = _at_least(min_score, put_together(glance, own, canvas, self._search.max_iou))
        self._timer("boxes", perf_counter() - began)
        return [found[slot] for slot in range(len(glances))]

    def spend(self, canvases: Canvases) -> None:
        """Compute what canvases usually take: a glance at each, and a quarter of them in patches."""
        self._backend.glance(halved(canvases))
        self._search.spend(canvases[: -(-len(canvases) // 4)])

    def _glances(self, canvases: Canvases, min_score: float) -> list[Glance]:
        began = perf_counter()
        half = halved(canvases)
        self._timer("resize", perf_counter() - began)
        raw, found = self._search.with_raw(self._backend.glance, half, min_score)
        began = perf_counter()
        rows, columns = half.shape[1] // STRIDES[0], half.shape[2] // STRIDES[0]
        chances = raw[:, : rows * columns, COLUMNS].reshape(-1, rows, columns)
        canvas = (canvases.shape[2], canvases.shape[1])
        glances = [
            plan(faces, focus_places(own, self._focus), canvas) for faces, own in zip(found, chances, strict=True)
        ]
        self._timer("boxes", perf_counter() - began)
        return glances

    def _looks(self, canvases: Canvases, glances: list[Glance], min_score: float) -> list[Detections]:
        patches = [
            patch for one, glance in zip(canvases, glances, strict=True) for patch in cut(one, glance.patches or ())
        ]
        return self._search.faces(np.stack(patches), min_score) if patches else []


def glancing_search(
    search: FaceSearch, backend: Backend, detector: ModelVersion, timer: StageTimer
) -> GlancingSearch | None:
    """Give what glances before ``search`` looks; None where backend or detector cannot."""
    glances, facts = glancing(backend, detector), detector.manifest.glance
    return GlancingSearch(search, glances, facts.focus, timer) if glances and facts else None


def _at_least(min_score: float, found: Detections) -> Detections:
    enough = found.scores >= min_score
    return found if enough.all() else Detections(found.boxes[enough], found.scores[enough], found.landmarks[enough])
