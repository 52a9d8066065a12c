"""The epoch loop: train, validate, checkpoint, show progress; stops between two steps and resumes by epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from common.errors import TrainingError
from trainer.files import replace_file
from trainer.learning.checkpoint import load_checkpoint, save_checkpoint
from trainer.learning.patience import Patience
from trainer.learning.prefetch import Batch
from trainer.learning.schedule import make_optimiser, rate_at
from trainer.settings import Schedule

History = list[dict[str, float]]


class Task(Protocol):
    """What is learnt: a network, its batches, its loss, its score."""

    network: nn.Module
    watched: tuple[str, bool]  # name of the score that early stop watches, and whether higher is better

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        ...

    def batches(self, epoch: int) -> Iterable[Batch]:
        """Give an epoch's batches; the same for the same epoch number, whatever ran before."""
        ...

    def loss(self, batch: Batch) -> Tensor:
        """Give the loss to lower."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Score the network on validation data."""
        ...

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """Say whether the backbone learns in this epoch, and the factor on the rate."""
        ...


def fit(task: Task, schedule: Schedule, run: Path, should_stop: Callable[[], bool] = lambda: False) -> History:
    """Train a task to the end of its schedule, or until told to stop.

    A checkpoint is written after every epoch; a run that stops or dies loses at most the epoch it was in.

    Args:
        task: What to learn; its network is changed in place.
        schedule: How long and how fast.
        run: Run folder for ``checkpoint.safetensors`` and ``history.json``.
        should_stop: Asked after every step.

    Returns:
        One record an epoch: loss, rate, seconds and the validation scores.

    Raises:
        TrainingError: Resuming what does not fit, a loss that is not finite, or a full disk; finished checkpoints are
            untouched.
    """
    run.mkdir(parents=True, exist_ok=True)
    optimiser = make_optimiser(task.network, schedule)
    history: History = load_checkpoint(run, task.network, optimiser) if schedule.resume else []
    patience = Patience(run, schedule.patience, *task.watched)
    with _progress() as progress:
        for epoch in range(len(history), schedule.epochs):
            if patience.is_spent(history):
                progress.console.print(f"stopped early: no better {patience.score} in {schedule.patience} epochs")
                break
            started = time.monotonic()
            record = train_epoch(task, optimiser, schedule, epoch, progress, should_stop)
            if record is None:
                return history
            history.append({**record, **task.evaluate(), "seconds": round(time.monotonic() - started, 1)})
            patience.keep(task.network, history)
            _keep(run, task.network, optimiser, history)
            progress.console.print(_line(epoch, history[-1]))
    if patience.restore(task.network, history):
        _keep(run, task.network, optimiser, history)
    return history


def _keep(run: Path, network: nn.Module, optimiser: torch.optim.Optimizer, history: History) -> None:
    save_checkpoint(run, network, optimiser, history)
    replace_file(run / "history.json", json.dumps(history, indent=1).encode())


def train_epoch(
    task: Task, optimiser: torch.optim.Optimizer, schedule: Schedule, epoch: int, progress: Progress,
    should_stop: Callable[[], bool],
) -> dict[str, float] | None:  # fmt: skip
    """Train one epoch; None if it was told to stop in the middle.

    Raises:
        TrainingError: The loss is not finite.
    """
    torch.manual_seed(schedule.seed * 100_003 + epoch)
    steps, total, rate = task.steps(), 0.0, 0.0
    backbone_learns, factor = task.trainable(epoch)
    prepare(task.network, backbone_learns=backbone_learns)
    bar = progress.add_task(f"epoch {epoch + 1}/{schedule.epochs}", total=steps, loss=math.nan, rate=0.0)
    for step, batch in enumerate(task.batches(epoch)):
        rate = factor * rate_at(schedule, epoch * steps + step, schedule.epochs * steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = task.loss(batch)
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"loss {loss.item()} in epoch {epoch + 1}, step {step + 1}; try a lower rate than {schedule.rate}"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.network.parameters(), 10.0)
        optimiser.step()
        total += loss.item()
        progress.update(bar, advance=1, loss=total / (step + 1), rate=rate)
        if should_stop():
            return None
    progress.remove_task(bar)
    return {"epoch": epoch + 1, "loss": total / max(steps, 1), "rate": rate}


def prepare(network: nn.Module, *, backbone_learns: bool) -> None:
    """Put a network into training mode; a frozen backbone keeps its weights and its batch statistics."""
    network.train()
    backbone = getattr(network, "backbone", None)
    if backbone is None:
        return
    for parameter in backbone.parameters():
        parameter.requires_grad_(backbone_learns)
    if not backbone_learns:
        backbone.eval()


def _line(epoch: int, record: dict[str, float]) -> str:
    return f"epoch {epoch + 1}: " + ", ".join(f"{key} {value:.4g}" for key, value in record.items() if key != "epoch")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("rate {task.fields[rate]:.2e}"), TimeElapsedColumn(), TimeRemainingColumn(), transient=True,
    )  # fmt: skip
