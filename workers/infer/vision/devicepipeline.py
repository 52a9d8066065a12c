"""The pipeline whose pictures never leave the device: what comes to the host are candidates, probabilities, results.

Every step computes what `FacePipeline` computes, for all pictures of one size and canvas at once; ``docs/adr/0045``
says how close the two are and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.geometry import FloatArray, squares_around
from common.images import Picture
from common.models.decode import Detections
from common.models.manifest import ModelVersion
from common.models.preprocess import choose_canvas
from workers.backends.torch_candidates import faces_in
from workers.backends.torch_lane import Pieces
from workers.backends.torch_pixels import Pixels, blur_all, crop_all, joined, letterbox_all, planes, stacked
from workers.infer.vision.assembly import assemble, in_picture
from workers.infer.vision.canvas import Canvases, canvases_of
from workers.infer.vision.deviceframe import DeviceFrame
from workers.infer.vision.face import Face
from workers.infer.vision.pipeline import (
    FacePipeline,
    PipelineSettings,
    check_pictures,
)
from workers.infer.vision.readable import Readable
from workers.infer.vision.timing import StageTimer, no_timer

if TYPE_CHECKING:
    from workers.backends.torch_backend import TorchBackend

LOOK_PIECE, CROP_PIECE = 256, 128
"""Most pictures and crops whose intermediate results lie on the device at once."""


class DevicePipeline(FacePipeline):
    """A `FacePipeline` on the device of its backend. Used by one thread at a time.

    Memory that runs out halves the pictures of one go, for good.

    Attributes:
        lane: Where it computes.

    Args:
        backend: What computes the networks.
        detector: The version that ``backend`` detects with.
        classifier: The version that ``backend`` classifies with.
        settings: What counts as a face.
        timer: Told how long ``resize``, ``detect``, ``boxes``, ``crop`` and ``classify`` took. The device works on
            while the host is at the next step: the step that waits is told the time of those before it.
    """

    backend: TorchBackend

    def __init__(
        self,
        backend: TorchBackend,
        detector: ModelVersion,
        classifier: ModelVersion,
        settings: PipelineSettings | None = None,
        timer: StageTimer = no_timer,
    ) -> None:
        super().__init__(backend, detector, classifier, settings, timer)
        self.lane = backend.lane
        self._looks = Pieces("look", LOOK_PIECE, self.lane.free)
        self._cuts = Pieces("crop", CROP_PIECE, self.lane.free)

    def read(self, pictures: Sequence[Picture], sizes: Sequence[tuple[int, int]] | None = None) -> list[list[Face]]:
        """Find and classify the faces of pictures of the host; see `FacePipeline.read`."""
        full = check_pictures(pictures, sizes)
        return self._in_pieces(list(pictures), full, [self.canvases] * len(full))

    def look(self, frames: Sequence[Readable]) -> list[list[Face]]:
        """Find and classify the faces of decoded frames, wherever their pixels lie; see `FacePipeline.look`."""
        pixels = [frame.pixels if isinstance(frame, DeviceFrame) else frame.picture for frame in frames]
        canvases = [canvases_of(frame.long_side_px) for frame in frames]
        return self._in_pieces(pixels, [frame.size for frame in frames], canvases)

    def _in_pieces(
        self, pictures: Sequence[Pixels | Picture], full: Sequence[tuple[int, int]], canvases: Sequence[Canvases]
    ) -> list[list[Face]]:
        done = self._looks.run(len(pictures), lambda a, b: self._together(pictures[a:b], full[a:b], canvases[a:b]))
        return [faces for piece in done for faces in piece]

    def _together(
        self, pictures: Sequence[Pixels | Picture], full: Sequence[tuple[int, int]], canvases: Sequence[Canvases]
    ) -> list[list[Face]]:
        with self.lane.entered():
            there = [self._there(picture) for picture in pictures]
            sizes = [(int(one.shape[2]), int(one.shape[1])) for one in there]
            kinds = [(size, choose_canvas(size, allowed)) for size, allowed in zip(sizes, canvases, strict=True)]
            groups = {kind: [slot for slot, own in enumerate(kinds) if own == kind] for kind in dict.fromkeys(kinds)}
            stacks = {kind: stacked([there[slot] for slot in slots]) for kind, slots in groups.items()}
            found = self._found(groups, stacks)
            probabilities, sharpness = self._classified(groups, stacks, found)
        return assemble(sizes, full, found, probabilities, sharpness)

    def _there(self, picture: Pixels | Picture) -> Pixels:
        if isinstance(picture, np.ndarray):
            return planes(self.lane.to_device(picture))
        self.lane.keep(picture)
        return picture

    def _found(self, groups: _Groups, stacks: _Stacks) -> list[Detections]:
        canvases: dict[tuple[int, int], list[_Kind]] = {}
        for kind in groups:
            canvases.setdefault(kind[1], []).append(kind)
        self._used |= canvases.keys()
        found: dict[int, Detections] = {}
        for canvas, members in canvases.items():
            began = perf_counter()
            boxed = [letterbox_all(stacks[kind], canvas) for kind in members]
            resized = perf_counter()
            raw = self.backend.detect_there(joined([pixels for pixels, _ in boxed]))
            detected = perf_counter()
            faces = iter(faces_in(raw, self.lane, canvas, (self._min_score, self._max_iou)))
            for kind, (_, fit) in zip(members, boxed, strict=True):
                for slot in groups[kind]:
                    found[slot] = in_picture(next(faces), fit, self._settings.max_faces)
            self._timer("resize", resized - began)
            self._timer("detect", detected - resized)
            self._timer("boxes", perf_counter() - detected)
        return [found[slot] for slot in range(len(found))]

    def _classified(
        self, groups: _Groups, stacks: _Stacks, found: Sequence[Detections]
    ) -> tuple[FloatArray, FloatArray]:
        """Give the probabilities and the sharpness of all faces, in the order of the pictures."""
        began = perf_counter()
        owners = np.repeat(np.arange(len(found)), [len(faces.boxes) for faces in found])
        if not len(owners):
            return np.empty((0, 3), np.float32), np.empty(0, np.float32)
        boxes = np.concatenate([faces.boxes for faces in found])
        squares = squares_around(boxes, self._margin)
        parts, order = [], []
        for kind, slots in groups.items():
            mine = np.flatnonzero(np.isin(owners, slots))
            which = np.searchsorted(slots, owners[mine])
            parts += self._cut(stacks[kind], which, squares[mine])
            order.append(mine)
        crops = joined(parts)
        sharpness = blur_all(crops, self._margin)
        cropped = perf_counter()
        probabilities = self.backend.classify_there(crops)
        answers = self.lane.to_host(joined([probabilities, sharpness[:, None]], axis=1))
        self._timer("crop", cropped - began)
        self._timer("classify", perf_counter() - cropped)
        sorted_back = np.empty_like(answers)
        sorted_back[np.concatenate(order)] = answers
        return sorted_back[:, :3], sorted_back[:, 3]

    def _cut(self, pictures: Pixels, which: NDArray[np.intp], squares: FloatArray) -> list[Pixels]:
        return self._cuts.run(len(squares), lambda a, b: crop_all(pictures, which[a:b], squares[a:b], self._side))


_Kind = tuple[tuple[int, int], tuple[int, int]]
"""Size of a picture and of its canvas, each (width, height), px."""
_Groups = dict[_Kind, list[int]]
"""To the places of the pictures of a kind, ascending."""
_Stacks = dict[_Kind, Pixels]
