"""The detector's task: fine-tune YuNet on scenes without punishing it for faces that nobody boxed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import TrainingError
from common.geometry import FloatArray, iou_matrix
from common.images import resize
from common.models.decode import decode, grid
from common.models.networks import DetectorGraph
from common.models.yunet import YuNet
from trainer.data.pictures import Scene, Skips, clip_faces, load_picture
from trainer.data.second_look import NOTHING, SecondLook, read_second_look
from trainer.faces.finder import FaceFinder
from trainer.learning.canvases import Canvas, Example, make_canvas
from trainer.learning.detector_loss import LossWeights, Target, detector_loss, likeness_loss
from trainer.learning.prefetch import Batch, prefetch
from trainer.learning.stem import load_teacher
from trainer.scores.scoring import ScoredPicture, average_precision
from trainer.settings import DetectorSettings

STORED_LONG_SIDE_PX = 960
UNBOXED_PX = 40.0
SURE = 0.5
GLANCE = 100  # validation pictures looked at after each epoch; the final report looks at all


class DetectorTask:
    """Learns to find faces. The starting network, or a teacher, stays beside it as a witness.

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
        self.witness = self._witness(settings).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings = settings
        self.device = device
        looks = read_second_look(settings.second_look) if settings.second_look else {}
        self.pictures = store([scene for scene in scenes if scene.split == "train"], skips, looks)
        self.val = [
            (scene.source, stored.pixels, stored.boxes)
            for scene in scenes if scene.split == "val" for stored in store([scene], skips)
        ]  # fmt: skip
        if not self.pictures:
            raise TrainingError("no training picture is left; look at the list of skipped pictures")
        self.points = torch.tensor(np.array(grid((settings.side, settings.side))), device=device)

    def _witness(self, settings: DetectorSettings) -> YuNet:
        """Give the teacher, or the network as it starts."""
        if settings.teacher is not None:
            teacher: YuNet = load_teacher(settings.teacher, "detector")
            return teacher
        witness: YuNet = copy.deepcopy(self.network).eval().requires_grad_(False)
        return witness

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        return max(1, len(self.pictures) * self.settings.repeat // self.settings.schedule.batch)

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """Everything learns all the time."""
        del epoch
        return True, 1.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give batches: uint8 (B, S, S, 3), and boxes, ignored ones, decoys: float (K, 5), canvas number first."""
        return prefetch(self._make(epoch))

    def _make(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.schedule.seed, epoch))
        size, side = self.settings.schedule.batch, self.settings.side
        order = self._order(random)
        for step in range(self.steps()):
            canvases = []
            for first in order[step * size : (step + 1) * size]:
                others = random.integers(len(self.pictures), size=3)
                four = [self.pictures[int(index)] for index in (first, *others)]
                canvases.append(make_canvas(four, side, self.settings.mosaic, random))
            yield collate(canvases)

    def _order(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Give an epoch's pictures: each as often, or the more often the more faces it shows."""
        if not self.settings.crowd:
            rounds = [random.permutation(len(self.pictures)) for _ in range(self.settings.repeat + 1)]
            return np.concatenate(rounds)
        counts = np.array([max(1, len(picture.boxes)) for picture in self.pictures], np.float64)
        chances = counts**self.settings.crowd
        size = self.steps() * self.settings.schedule.batch
        return random.choice(len(self.pictures), size, p=chances / chances.sum())

    def loss(self, batch: Batch) -> Tensor:
        """SimOTA and EIoU, and likeness to the teacher if wanted; see ``detector_loss``."""
        pixels = as_planes(batch[0].to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.schedule.half):
            logits, opinion = (answer.float() for answer in self._answers(pixels))
        targets = self._targets(opinion, *(part.to(self.device) for part in batch[1:]))
        weights = LossWeights(landmark=self.settings.landmark_weight)
        by_label = detector_loss(logits, self.points, targets, weights)
        share = self.settings.teacher_share
        return by_label if not share else (1 - share) * by_label + share * likeness_loss(logits, opinion, weights)

    def _answers(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Ask the learner and the witness; a stem that does not learn is the same in both and computed once."""
        if not self.settings.frozen_stem:
            with torch.no_grad():
                opinion = self.witness(pixels)
            return self.network(pixels), opinion
        with torch.no_grad():
            features = self.witness.backbone.stem(pixels)
            opinion = self.witness.after_stem(features)
        return self.network.after_stem(features), opinion

    def _targets(self, opinion: Tensor, boxes: Tensor, ignored: Tensor, decoys: Tensor) -> list[Target]:
        score = (opinion[..., 0].sigmoid() * opinion[..., 1].sigmoid()).sqrt()
        raw = torch.cat([score[..., None], opinion[..., 2:], opinion[..., 1:2]], dim=-1).cpu().numpy()
        seen = decode(raw, (self.settings.side, self.settings.side), SURE, 0.3)
        # An untrained witness knows nothing.
        trained = self.settings.weights is not None or self.settings.teacher is not None
        targets = []
        for index, found in enumerate(seen):
            faces = boxes[boxes[:, 0] == index, 1:]
            known = torch.cat([faces, decoys[decoys[:, 0] == index, 1:]]).cpu().numpy()
            forgotten = torch.from_numpy(unboxed(found.boxes[: None if trained else 0], known)).to(self.device)
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


def as_planes(pixels: Tensor) -> Tensor:
    """Map uint8 (B, H, W, 3) BGR to float (B, 3, H, W) BGR 0..255, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float()


def unboxed(found: FloatArray, known: FloatArray) -> FloatArray:
    """Give the small faces, (J, 4) px, that the witness is sure of and nobody boxed or knows to be none."""
    small = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0) < UNBOXED_PX
    free = iou_matrix(found, known).max(axis=1, initial=0) < 0.2
    forgotten: FloatArray = found[small & free]
    return forgotten


def store(scenes: list[Scene], skips: Skips, looks: Mapping[str, SecondLook] | None = None) -> list[Example]:
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
        look = (looks or {}).get(scene.path.name, NOTHING)
        stored.append(Example(small, *((part * scale).astype(np.float32) for part in (boxes, *look))))
    return stored


def collate(canvases: list[Canvas]) -> Batch:
    """Put canvases into tensors; every box is led by the number of its canvas."""
    pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in canvases]))
    numbered = [
        np.concatenate([np.insert(boxes, 0, index, axis=1) for index, boxes in enumerate(lists)]).astype(np.float32)
        for lists in ([c.boxes for c in canvases], [c.ignored for c in canvases], [c.decoys for c in canvases])
    ]
    return pixels, *(torch.from_numpy(boxes) for boxes in numbered)
