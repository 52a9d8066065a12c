"""Early stop: which epoch was the best, its weights kept, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from common.errors import TrainingError
from trainer.files import replace_file

NAME = "best.safetensors"


@dataclass(frozen=True, slots=True)
class Patience:
    """Watches one validation score and keeps the weights of its best epoch in the run folder.

    Attributes:
        run: Run folder.
        epochs: Epochs without a better score before stopping; 0 never stops and keeps nothing.
        score: Name of the score in an epoch's record.
        higher_is_better: Which way is better.
    """

    run: Path
    epochs: int
    score: str
    higher_is_better: bool

    def best_epoch(self, history: Sequence[Mapping[str, float]]) -> int:
        """Give the number of the best epoch, from 1; 0 if there is none.

        Raises:
            TrainingError: The epochs have no such score, as there are no validation data.
        """
        if history and self.score not in history[-1]:
            raise TrainingError(f"--patience watches {self.score}, which needs validation pictures; there are none")
        values = [record.get(self.score, math.nan) * (1 if self.higher_is_better else -1) for record in history]
        usable = [(value, -index) for index, value in enumerate(values) if math.isfinite(value)]
        return 1 - max(usable)[1] if usable else 0

    def is_spent(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Say whether it is time to stop."""
        return bool(self.epochs and history) and len(history) - self.best_epoch(history) >= self.epochs

    def keep(self, network: nn.Module, history: Sequence[Mapping[str, float]]) -> None:
        """Keep the network's weights if the last epoch was the best."""
        if self.epochs and self.best_epoch(history) == len(history):
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
            replace_file(self.run / NAME, save(tensors, {"epoch": str(len(history))}))

    def restore(self, network: nn.Module, history: Sequence[Mapping[str, float]]) -> bool:
        """Put the network back to its best epoch; says whether that changed it.

        Raises:
            TrainingError: The kept weights cannot be read.
        """
        if not self.epochs or not history or self.best_epoch(history) == len(history):
            return False
        path = self.run / NAME
        try:
            with safe_open(path, "pt") as stored:
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            network.load_state_dict(tensors)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise TrainingError(f"{path}: the best epoch cannot be read: {error}") from error
        return True
