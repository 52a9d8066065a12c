"""The detector's task: fine-tune YuNet on scenes without punishing it for faces that nobody boxed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from common.errors import TrainingError
from common.geometry import FloatArray, iou_matrix
from common.images import Picture, resize
from common.models.decode import decode, grid
from common.models.networks import DetectorGraph, YuNet
from trainer.canvases import Canvas, make_canvas
from trainer.data import Scene, Skips, clip_faces, load_picture
from trainer.detector_loss import LossWeights, Target, detector_loss
from trainer.finder import FaceFinder
from trainer.prefetch import Batch, prefetch
from trainer.scoring import ScoredPicture, average_precision
from trainer.settings import DetectorSettings

STORED_LONG_SIDE_PX = 960
UNBOXED_PX = 40.0
SURE = 0.5
GLANCE = 100  # validation pictures looked at after each epoch; the final report looks at all


class DetectorTask:
    """Learns to find faces. The starting network stays beside it as a witness.

    The witness says where landmarks are (the data has none) and which small faces somebody forgot to box.

    Args:
        network: The detector with its starting weights; moved to ``device``.
        scenes: Training and validation pictures.
        settings: The run.
        device: Where to compute.
        skips: Takes note of pictures that cannot be read.
    """

    watched = ("average_precision", True)

    def __init__(
        self, network: YuNet, scenes: list[Scene], settings: DetectorSettings, device: torch.device, skips: Skips
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.witness = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.settings = settings
        self.device = device
        self.pictures = store([scene for scene in scenes if scene.split == "train"], skips)
        self.val = [
            (scene.source, *stored) for scene in scenes if scene.split == "val" for stored in store([scene], skips)
        ]
        if not self.pictures:
            raise TrainingError("no training picture is left; look at the list of skipped pictures")
        self.points = torch.tensor(np.array(grid((settings.side, settings.side))), device=device)

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        return max(1, len(self.pictures) * self.settings.repeat // self.settings.schedule.batch)

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """Everything learns all the time."""
        del epoch
        return True, 1.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give an epoch's batches: uint8 (B, S, S, 3), boxes and ignored boxes float (K, 5), canvas number first."""
        return prefetch(self._make(epoch))

    def _make(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.schedule.seed, epoch))
        size, side = self.settings.schedule.batch, self.settings.side
        order = np.concatenate([random.permutation(len(self.pictures)) for _ in range(self.settings.repeat + 1)])
        for step in range(self.steps()):
            canvases = []
            for first in order[step * size : (step + 1) * size]:
                others = random.integers(len(self.pictures), size=3)
                four = [self.pictures[int(index)] for index in (first, *others)]
                canvases.append(make_canvas(four, side, self.settings.mosaic, random))
            yield collate(canvases)

    def loss(self, batch: Batch) -> Tensor:
        """SimOTA and EIoU; see ``detector_loss``."""
        pixels = batch[0].to(self.device).permute(0, 3, 1, 2).float()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.schedule.half):
            logits = self.network(pixels).float()
            with torch.no_grad():
                opinion = self.witness(pixels).float()
        targets = self._targets(opinion, batch[1].to(self.device), batch[2].to(self.device))
        return detector_loss(logits, self.points, targets, LossWeights(landmark=self.settings.landmark_weight))

    def _targets(self, opinion: Tensor, boxes: Tensor, ignored: Tensor) -> list[Target]:
        score = (opinion[..., 0].sigmoid() * opinion[..., 1].sigmoid()).sqrt()
        raw = torch.cat([score[..., None], opinion[..., 2:], opinion[..., 1:2]], dim=-1).cpu().numpy()
        seen = decode(raw, (self.settings.side, self.settings.side), SURE, 0.3)
        trained = self.settings.weights is not None  # an untrained witness knows nothing
        targets = []
        for index, found in enumerate(seen):
            faces = boxes[boxes[:, 0] == index, 1:]
            forgotten = torch.from_numpy(unboxed(found.boxes[: None if trained else 0], faces.cpu().numpy())).to(
                self.device
            )
            passed_over = torch.cat([ignored[ignored[:, 0] == index, 1:], forgotten])
            targets.append(Target(faces, passed_over, opinion[index, :, 6:16], (score[index] >= SURE) & trained))
        return targets

    def evaluate(self) -> dict[str, float]:
        """Average precision of faces at a long side of 640 px, on an even choice of the validation pictures."""
        if not self.val:
            return {}
        finder = FaceFinder(DetectorGraph(self.network), min_score=0.02, max_iou=0.45)
        scored: list[ScoredPicture] = []
        for _, picture, boxes in self.val[:: -(-len(self.val) // GLANCE)]:
            found = finder.find(picture)
            scored.append(ScoredPicture(found.boxes, found.scores, boxes))
        return {"average_precision": average_precision(scored, ignore_below_px=UNBOXED_PX)}


def unboxed(found: FloatArray, faces: FloatArray) -> FloatArray:
    """Give the small faces, (J, 4) px, that the witness is sure of and nobody boxed."""
    small = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0) < UNBOXED_PX
    free = iou_matrix(found, faces).max(axis=1, initial=0) < 0.2
    forgotten: FloatArray = found[small & free]
    return forgotten


def store(scenes: list[Scene], skips: Skips) -> list[tuple[Picture, FloatArray]]:
    """Read pictures once and keep them, at most 960 px long, with their boxes scaled along."""
    stored = []
    for scene in scenes:
        picture = load_picture(scene.path, skips)
        if picture is None:
            continue
        height, width = picture.shape[:2]
        scale = min(1.0, STORED_LONG_SIDE_PX / max(height, width))
        small = resize(picture, (round(width * scale), round(height * scale)))
        boxes = clip_faces(scene, (width, height), skips).boxes
        stored.append((small, (boxes * scale).astype(np.float32)))
    return stored


def collate(canvases: list[Canvas]) -> Batch:
    """Put canvases into tensors; every box is led by the number of its canvas."""
    pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in canvases]))
    numbered = [
        np.concatenate([np.insert(boxes, 0, index, axis=1) for index, boxes in enumerate(lists)]).astype(np.float32)
        for lists in ([c.boxes for c in canvases], [c.ignored for c in canvases])
    ]
    return pixels, torch.from_numpy(numbered[0]), torch.from_numpy(numbered[1])
