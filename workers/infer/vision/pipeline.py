"""From pictures to faces with verdict probabilities: the one path that streams, files and single pictures all take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray
from common.images import Picture
from common.models.decode import Detections
from common.models.manifest import ModelVersion
from common.models.preprocess import blur_scale, choose_canvas, face_crops, fitted
from workers.backends.backend import Backend
from workers.infer.vision.assembly import assemble, in_picture
from workers.infer.vision.canvas import CANVASES, Canvases, canvases_of
from workers.infer.vision.face import Face
from workers.infer.vision.glance import worth_a_glance
from workers.infer.vision.patches import PATCH_PX
from workers.infer.vision.readable import Readable
from workers.infer.vision.search import FaceSearch, glancing_search
from workers.infer.vision.timing import StageTimer, no_timer
from workers.infer.vision.verdicts import Verdicts, quick_verdicts


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What counts as a face.

    Attributes:
        min_score: Faces below are left out, 0..1; None takes the detector's own threshold.
        max_iou: Two faces overlap by at most this, 0..1; None takes the detector's own.
        max_faces: Most faces of one picture; the best ones are kept, so that no picture holds the others up.
        canvases: Canvas sizes (width, height), px, multiples of 32.
        glance: Whether large canvases are glanced at first, and only places that deserve it looked at; backend and
            detector must be able to.
        quick: Whether a small network is asked first what faces wear; backend and classifier must be able to.
    """

    min_score: float | None = None
    max_iou: float | None = None
    max_faces: int = 100
    canvases: Canvases = CANVASES
    glance: bool = True
    quick: bool = True


class FacePipeline:
    """Finds and classifies all faces of a list of pictures with as few calls to the networks as possible.

    Used by one thread at a time. The pipeline does not own the backend.

    Attributes:
        backend: As given.
        detector: As given.
        classifier: As given.

    Args:
        backend: What computes the networks.
        detector: The version that ``backend`` detects with.
        classifier: The version that ``backend`` classifies with.
        settings: What counts as a face.
        timer: Told how long ``resize``, ``detect``, ``boxes``, ``crop`` and ``classify`` took.
    """

    def __init__(
        self,
        backend: Backend,
        detector: ModelVersion,
        classifier: ModelVersion,
        settings: PipelineSettings | None = None,
        timer: StageTimer = no_timer,
    ) -> None:
        settings = settings or PipelineSettings()
        thresholds = detector.manifest.thresholds
        self.backend, self.detector, self.classifier = backend, detector, classifier
        self._min_score = thresholds.get("score", 0.6) if settings.min_score is None else settings.min_score
        self._max_iou = thresholds.get("iou", 0.3) if settings.max_iou is None else settings.max_iou
        self._settings = settings
        self._verdicts = (quick_verdicts(backend, classifier) if settings.quick else None) or Verdicts(backend)
        self._side = classifier.classifier_input.side
        self._margin = classifier.classifier_input.margin
        self._timer = timer
        self._search = FaceSearch(backend.detect, self._max_iou, timer)
        self._first = glancing_search(self._search, backend, detector, timer) if settings.glance else None
        self._used: frozenset[tuple[int, int]] = frozenset()

    def read(self, pictures: Sequence[Picture], sizes: Sequence[tuple[int, int]] | None = None) -> list[list[Face]]:
        """Find and classify the faces of each picture.

        Args:
            pictures: Each uint8, (H, W, 3), BGR; sizes may differ.
            sizes: Full size (width, height), px, of the frame behind each picture, where the pictures were decoded
                at a reduced size; None where they are full size.

        Returns:
            One list for each picture, in the same order; its faces, best score first, in pixels of the full-size frame.

        Raises:
            ValueError: A picture has another shape or type, or ``sizes`` another length; nothing was computed.
        """
        full, canvases = check_pictures(pictures, sizes), [self._settings.canvases] * len(pictures)
        return self._read([(picture, None) for picture in pictures], full, canvases)

    def look(self, frames: Sequence[Readable]) -> list[list[Face]]:
        """Find and classify the faces of decoded frames, each on a canvas of its own long side; else as `read`."""
        pictures, sizes = [frame.picture for frame in frames], [frame.size for frame in frames]
        full, canvases = check_pictures(pictures, sizes), [canvases_of(f.long_side_px) for f in frames]
        return self._read([(f.picture, f.half) for f in frames], full, canvases)

    def _read(
        self, shown: Sequence[_Shown], full: Sequence[tuple[int, int]], canvases: Sequence[Canvases]
    ) -> list[list[Face]]:
        pictures = [picture for picture, _ in shown]
        found = self._detect(shown, canvases, self._min_score, glance=True)
        began = perf_counter()
        crops = [face_crops(p, d.boxes, self._side, self._margin) for p, d in zip(pictures, found, strict=True)]
        together = np.concatenate(crops) if crops else np.empty((0, self._side, self._side, 3), np.uint8)
        sharpness = blur_of(together, self._margin)
        cropped = perf_counter()
        probabilities = self._verdicts.of(together)
        self._timer("crop", cropped - began)
        self._timer("classify", perf_counter() - cropped)
        sizes_px = [(p.shape[1], p.shape[0]) for p in pictures]
        return assemble(sizes_px, full, found, probabilities, sharpness)

    def find(self, pictures: Sequence[Picture], min_score: float) -> list[Detections]:
        """Find the faces of each picture from a score of ``min_score`` on, without classifying them.

        Small pictures that are made for people are searched this way, all of them and on the usual canvases whatever
        the settings say.

        Args:
            pictures: Each uint8, (H, W, 3), BGR; sizes may differ.
            min_score: Detector's confidence, 0..1, below which faces are left out.

        Returns:
            One for each picture, in px of the picture.
        """
        shown = [(picture, None) for picture in pictures]
        return self._detect(shown, [CANVASES] * len(pictures), min_score, glance=False)

    @property
    def min_score(self) -> float:
        """The detector's confidence, 0..1, from which on something counts as a face."""
        return self._min_score

    @property
    def canvases(self) -> Canvases:
        """Canvas sizes (width, height), px, that `read` looks at pictures on."""
        return self._settings.canvases

    def on(self, canvases: Canvases) -> FacePipeline:
        """Give a pipeline that is like this one but for the canvases that `read` uses."""
        settings = replace(self._settings, canvases=canvases)
        return type(self)(self.backend, self.detector, self.classifier, settings, self._timer)

    def canvases_used(self) -> tuple[tuple[int, int], ...]:
        """List the canvases (width, height), px, that pictures needed so far; any thread may ask."""
        return tuple(sorted(self._used))

    def warm_up(self, batch: int, also: Sequence[tuple[int, int]] = ()) -> None:
        """Prepare the backend for batches of up to ``batch`` pictures of the usual shapes and canvases ``also``.

        Standing canvases are prepared by their first picture: few cameras hang that way, and a start should be quick.
        Of canvases that are glanced at, only the most usual one is also prepared as a whole, for its crowded pictures.
        """
        lying = [(width, height) for width, height in self._settings.canvases if width >= height]
        shapes = {*also, *lying}
        self._verdicts.warm_up()
        if self._first:
            large = {canvas for canvas in shapes if worth_a_glance(canvas)}
            self._first.warm_up(sorted(large), batch)
            shapes = shapes - large | {*also, *lying[:1]} | ({(PATCH_PX, PATCH_PX)} if large else set())
        self.backend.warm_up(sorted(shapes), batch)

    def spend(self, frames: int, faces: int) -> None:
        """Have the networks do what so many frames and faces usually take, whatever they show.

        Grey pictures would be done with at a glance, and grey faces would all be doubtful.
        """
        canvas = self._settings.canvases[0]
        (self._first or self._search).spend(np.full((frames, canvas[1], canvas[0], 3), 90, np.uint8))
        self._verdicts.spend(np.full((faces, self._side, self._side, 3), 90, np.uint8))

    def _detect(
        self, shown: Sequence[_Shown], canvases: Sequence[Canvases], min_score: float, *, glance: bool
    ) -> list[Detections]:
        """Give each picture's faces in the picture's own pixels."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, ((picture, _), allowed) in enumerate(zip(shown, canvases, strict=True)):
            canvas = choose_canvas((picture.shape[1], picture.shape[0]), allowed)
            groups.setdefault(canvas, []).append(index)
        self._used |= groups.keys()
        found: dict[int, Detections] = {}
        for canvas, indices in groups.items():
            began = perf_counter()
            fits = [fitted(shown[index][0], canvas) for index in indices]
            self._timer("resize", perf_counter() - began)
            scaled = [picture for picture, _ in fits]
            if glance and self._first and worth_a_glance(canvas):
                halves = [shown[index][1] for index in indices]
                there = self._first.faces(scaled, canvas, min_score, halves)
            else:
                there = self._search.faces(scaled, canvas, min_score)
            for index, (_, fit), faces in zip(indices, fits, there, strict=True):
                found[index] = in_picture(faces, fit, self._settings.max_faces)
        return [found[index] for index in range(len(shown))]


def check_pictures(pictures: Sequence[Picture], sizes: Sequence[tuple[int, int]] | None) -> Sequence[tuple[int, int]]:
    """Refuse what is no list of pictures, and give the full size (width, height), px, behind each.

    Raises:
        ValueError: As `FacePipeline.read`.
    """
    for index, picture in enumerate(pictures):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"picture {index}: {picture.dtype} {picture.shape} where uint8 (H, W, 3) is wanted")
    full = [(p.shape[1], p.shape[0]) for p in pictures] if sizes is None else list(sizes)
    if len(full) != len(pictures):
        raise ValueError(f"{len(full)} sizes for {len(pictures)} pictures")
    return full


def blur_of(crops: NDArray[np.uint8], margin: float) -> FloatArray:
    """Measure how sharp faces are: the variance of the Laplacian of their brightness, margin left out.

    Args:
        crops: uint8, (N, S, S, 3), BGR.
        margin: Share of the face box's longer side that the crops hold on every side beyond it.

    Returns:
        float32, (N,), at least 0, in the unit of 112 px crops; small is blurred.
    """
    edge = int(crops.shape[1] * margin / (1 + 2 * margin)) if margin else 0
    inner = crops[:, edge : crops.shape[1] - edge, edge : crops.shape[2] - edge]
    # Green alone stands for brightness: it is most of it, and one plane costs a third.
    grey = inner[..., 1].astype(np.int16)
    middle = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * middle
    if not len(crops):
        return np.empty(0, np.float32)
    variance: FloatArray = laplacian.var(axis=(1, 2), dtype=np.float32)
    return variance * np.float32(blur_scale(crops.shape[1]))


_Shown = tuple[Picture, Picture | None]
"""A picture, and its half if that is at hand: only of one that lies on its canvas as it is."""
