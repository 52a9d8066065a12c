"""A lesson for a new stem: give what the first layers of an older network, its teacher, give on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import ManifestError, TrainingError
from common.models.manifest import Kind, load_version
from common.models.torch_load import load_graph
from trainer.learning.prefetch import Batch

LEAST_VARIANCE = 1e-3


def load_teacher(folder: Path, kind: Kind) -> Any:
    """Load the network of a version to learn from: float32, on the CPU, in evaluation mode, learning nothing itself.

    Raises:
        TrainingError: There is no such version in the folder.
    """
    try:
        network: Any = load_graph(load_version(folder, kind)).network
    except (ManifestError, OSError) as error:
        raise TrainingError(f"{folder}: no {kind} to learn from: {error}") from error
    return network.eval().requires_grad_(False)


def take_over(network: nn.Module, teacher: nn.Module) -> int:
    """Copy every tensor that both have under the same name and shape; says how many."""
    own = network.state_dict()
    shared = {name: t for name, t in teacher.state_dict().items() if name in own and t.shape == own[name].shape}
    network.load_state_dict({**own, **shared})
    return len(shared)


class StemLesson:
    """Teaches only the first layers of a task's network; everything else of the task stays as it is.

    The loss is the mean squared difference from the teacher's features, each channel in units of its own variance: 1
    is what guessing the mean would give.

    Args:
        task: Its network has ``entry``; its batches hold pictures first, uint8 (B, H, W, 3).
        teacher: Has ``entry`` with features of the same shape.
        prepare: Maps a batch's pictures to what ``entry`` takes.
    """

    watched = ("stem_error", False)

    def __init__(self, task: Any, teacher: Any, prepare: Callable[[Tensor], Tensor]) -> None:
        self.task, self.network = task, task.network
        self._teacher = teacher.to(task.device, memory_format=torch.channels_last)
        self._prepare = prepare
        self._variance = self._measured(next(iter(task.batches(0))))
        self._errors: list[float] = []

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        return int(self.task.steps())

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """The stem learns all the time; what lies behind it is not part of the loss."""
        del epoch
        return True, 1.0

    def batches(self, epoch: int) -> Iterable[Batch]:
        """Give the task's batches."""
        self._errors.clear()
        batches: Iterable[Batch] = self.task.batches(epoch)
        return batches

    def loss(self, batch: Batch) -> Tensor:
        """Compare the first layers' features."""
        pixels = self._prepare(batch[0].to(self.task.device))
        wanted = self._wanted(pixels)
        with self._reduced():
            given: Tensor = self.network.entry(pixels).float()
        error: Tensor = (((given - wanted) ** 2).mean(dim=(0, 2, 3)) / self._variance).mean()
        self._errors.append(error.item())
        return error

    def _wanted(self, pixels: Tensor) -> Tensor:
        with torch.no_grad(), self._reduced():
            features: Tensor = self._teacher.entry(pixels).float()
        return features

    def _measured(self, batch: Batch) -> Tensor:
        """Measure each channel's variance on the first batch, so that a resumed lesson measures the same."""
        wanted = self._wanted(self._prepare(batch[0].to(self.task.device)))
        return wanted.var(dim=(0, 2, 3)).clamp(min=LEAST_VARIANCE)

    def _reduced(self) -> torch.autocast:
        return torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.task.settings.schedule.half)

    def evaluate(self) -> dict[str, float]:
        """Score the whole network as its task does, and the stem by its mean error in this epoch."""
        return {"stem_error": sum(self._errors) / max(1, len(self._errors)), **self.task.evaluate()}
