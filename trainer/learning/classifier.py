"""The classifier's task: balanced, augmented faces in; three calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from common.errors import TrainingError
from common.images import resize
from common.models.manifest import LABELS, load_version
from common.models.networks import ClassifierGraph, FaceClassifier
from trainer.faces.augment import CropPlan, plain_crop, training_crop
from trainer.faces.cuts import PATCH_MARGIN, FaceSet
from trainer.learning.prefetch import Batch, prefetch
from trainer.learning.stem import load_teacher
from trainer.scores.report import judged_faces
from trainer.settings import ClassifierSettings

LABEL_SHARES = (0.435, 0.435, 0.13)


class ClassifierTask:
    """Learns mask, no_mask, incorrect from cut faces.

    Args:
        network: The classifier; moved to ``device``.
        faces: Cut faces, training and validation.
        settings: The run.
        device: Where to compute.
    """

    watched = ("val_loss", False)

    def __init__(
        self, network: FaceClassifier, faces: FaceSet, settings: ClassifierSettings, device: torch.device
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings = settings
        self.device = device
        self.train_faces = faces.select(faces.train)
        self.val_faces = faces.select(~faces.train)
        if not len(self.train_faces.labels):
            raise TrainingError("no training face is left; look at the list of skipped pictures")
        there = [LABELS[index] for index in np.unique(self.train_faces.labels)]
        if len(there) < 2:
            raise TrainingError(f"only {there[0]!r} among the training faces; two classes at least are needed")
        self._right = self._seen = 0
        self.doubted: list[str] = []
        self.teacher: Any = None
        cut_side = settings.side
        if settings.teacher is not None and settings.teacher_share:
            self.teacher = load_teacher(settings.teacher, "classifier").to(device, memory_format=torch.channels_last)
            self.teacher_side = load_version(settings.teacher, "classifier").classifier_input.side
            # Who will be asked before its teacher is shown the teacher's crops, each few pixels as their mean.
            cut_side = self.teacher_side if self.teacher_side % settings.side == 0 else settings.side
        self.plan = CropPlan(cut_side, settings.margin, PATCH_MARGIN, settings.drawn_masks, settings.augment)
        self.weights = self.weigh(np.ones(len(self.train_faces.labels), bool))
        self.val_crops = self.plain_crops(self.val_faces)

    def plain_crops(self, faces: FaceSet) -> NDArray[np.uint8]:
        """Cut faces as production does, for the network itself: uint8, (M, side, side, 3), BGR."""
        side = self.settings.side
        crops = crops_of(faces, self.plan)
        if self.plan.side == side:
            return crops
        return np.array([resize(one, (side, side)) for one in crops], np.uint8).reshape(-1, side, side, 3)

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        return max(1, (self.settings.samples or len(self.weights)) // self.settings.schedule.batch)

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """Frozen backbones never learn, staged ones after the head, then at a quarter of the rate."""
        if self.settings.backbone == "staged":
            return epoch >= self.settings.head_epochs, 0.25 if epoch >= self.settings.head_epochs else 1.0
        return self.settings.backbone == "unfrozen", 1.0

    def weigh(self, believed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give each training face its chance to be drawn; none to those whose labels are not believed."""
        faces, chances = self.train_faces, np.zeros(len(believed))
        chances[believed] = balance(faces.labels[believed], faces.sources[believed], faces.sizes[believed])
        return chances

    def doubt(self) -> None:
        """Leave out, for the epoch to come, training faces whose label the network finds next to impossible.

        Raises:
            TrainingError: Fewer than two classes would be left; nothing is left out.
        """
        faces, learning = self.train_faces, [(module, module.training) for module in self.network.modules()]
        own = np.empty(len(faces.labels), np.float32)
        said = np.empty(len(faces.labels), np.int64)
        for start in range(0, len(own), 1024):
            part = faces.select(np.arange(start, min(start + 1024, len(own))))
            chances = predict(self.network, self.plain_crops(part), self.device)
            own[start : start + 1024] = chances[np.arange(len(part.labels)), part.labels]
            said[start : start + 1024] = chances.argmax(axis=1)
        for module, was in learning:
            module.training = was
        believed = own >= self.settings.doubt
        if len(np.unique(faces.labels[believed])) < 2:
            raise TrainingError(
                f"the network doubts {(~believed).sum()} of {len(believed)} labels and leaves fewer than two classes "
                "to learn from; doubt later (--doubt-after) or less (--doubt)"
            )
        self.weights = self.weigh(believed)
        self.doubted = [
            f"{faces.names[i]} {faces.boxes[i].round().astype(int).tolist()}: "
            f"{LABELS[faces.labels[i]]} gets {own[i]:.3f}, looks like {LABELS[said[i]]}"
            for i in np.flatnonzero(~believed)
        ]

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give an epoch's batches: uint8 (B, S, S, 3) BGR, S as in the plan, and int64 (B,) labels."""
        self._right = self._seen = 0
        if self.settings.doubt and epoch >= self.settings.doubt_after:
            self.doubt()
        return prefetch(self._make(epoch))

    def _make(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.schedule.seed, epoch))
        size = self.settings.schedule.batch
        order = random.choice(len(self.weights), self.steps() * size, p=self.weights)
        for start in range(0, len(order), size):
            pairs = [
                training_crop(
                    self.train_faces.patches[i],
                    int(self.train_faces.labels[i]),
                    self.train_faces.landmarks[i],
                    self.plan,
                    random,
                )
                for i in order[start : start + size]
            ]
            yield torch.from_numpy(np.stack([crop for crop, _ in pairs])), torch.tensor([label for _, label in pairs])

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy with label smoothing, and towards the teacher's answers where there is one."""
        pixels, labels = normalised(batch[0].to(self.device)), batch[1].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.schedule.half):
            logits = self.network(at_side(pixels, self.settings.side))
        self._right += int((logits.detach().argmax(dim=1) == labels).sum())
        self._seen += len(labels)
        by_label = functional.cross_entropy(logits.float(), labels, label_smoothing=self.settings.smoothing)
        if self.teacher is None:
            return by_label
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.schedule.half):
            answers = self.teacher(at_side(pixels, self.teacher_side)).float().softmax(dim=1)
        share = self.settings.teacher_share
        return (1 - share) * by_label + share * functional.cross_entropy(logits.float(), answers)

    def evaluate(self) -> dict[str, float]:
        """Score on the validation faces of at least 24 px, or on all where none is so large."""
        scores = {"train_accuracy": self._right / max(1, self._seen)}
        if not len(self.val_faces.labels):
            return scores
        probabilities = predict(self.network, self.val_crops, self.device)
        judged = judged_faces(self.val_faces)
        chances, truth = probabilities[judged], self.val_faces.labels[judged]
        guess = chances.argmax(axis=1)
        scores["val_loss"] = float(-np.log(np.clip(chances[np.arange(len(truth)), truth], 1e-7, 1)).mean())
        scores["accuracy"] = float((guess == truth).mean())
        for index, name in enumerate(LABELS):
            mine = truth == index
            if mine.any():
                scores[f"recall_{name}"] = float((guess[mine] == index).mean())
        return scores


def normalised(crops: Tensor) -> Tensor:
    """Map uint8 (N, S, S, 3) BGR to float (N, 3, S, S) RGB -1..1, channels last in memory."""
    return crops.flip(-1).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def at_side(pixels: Tensor, side: int) -> Tensor:
    """Bring float (N, 3, S, S) to another side; as they are where it is theirs, means where it is a part of theirs."""
    if pixels.shape[-1] == side:
        return pixels
    if pixels.shape[-1] % side == 0:
        return functional.avg_pool2d(pixels, pixels.shape[-1] // side)
    return functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)


def crops_of(faces: FaceSet, plan: CropPlan) -> NDArray[np.uint8]:
    """Cut the faces as production does: uint8, (M, S, S, 3), BGR."""
    crops = np.empty((len(faces.labels), plan.side, plan.side, 3), np.uint8)
    for index, patch in enumerate(faces.patches):
        crops[index] = plain_crop(patch, plan)
    return crops


def predict(
    network: FaceClassifier, crops: NDArray[np.uint8], device: torch.device, temperature: float = 1.0
) -> NDArray[np.float32]:
    """Classify crops with the network as it is: float32, (M, 3) probabilities."""
    graph = ClassifierGraph(network, temperature).eval()
    answers = [np.zeros((0, 3), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(crops), 128):
            answers.append(graph(torch.from_numpy(crops[start : start + 128]).to(device)).cpu().numpy())
    return np.concatenate(answers)


def balance(labels: NDArray[np.int64], sources: NDArray[np.str_], sizes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give each face its chance: labels by fixed shares, sources by the root of their size, tiny faces rarer."""
    weights = np.zeros(len(labels))
    for label, share in enumerate(LABEL_SHARES):
        for source in np.unique(sources[labels == label]):
            mine = (labels == label) & (sources == source)
            weights[mine] = np.sqrt(mine.sum()) / mine.sum()
        total = weights[labels == label].sum()
        weights[labels == label] *= share / total if total else 0
    weights *= np.where(sizes < 16, 0.4, 1.0)
    chances: NDArray[np.float64] = weights / weights.sum()
    return chances
