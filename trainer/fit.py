"""The epoch loop: train, validate, checkpoint, show progress; stops between two steps and resumes by epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from common.errors import TrainingError
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.settings import Schedule

Batch = tuple[Tensor, ...]
History = list[dict[str, float]]


class Task(Protocol):
    """What is learnt: a network, its batches, its loss, its score."""

    network: nn.Module

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
        TrainingError: Resuming what does not fit, or a loss that is not finite; finished checkpoints are untouched.
    """
    run.mkdir(parents=True, exist_ok=True)
    optimiser = make_optimiser(task.network, schedule)
    history: History = []
    if schedule.resume:
        history = load_checkpoint(run, task.network, optimiser)
    elif schedule.threads:
        torch.set_num_threads(schedule.threads)
    with _progress() as progress:
        for epoch in range(len(history), schedule.epochs):
            started = time.monotonic()
            record = train_epoch(task, optimiser, schedule, epoch, progress, should_stop)
            if record is None:
                return history
            history.append({**record, **task.evaluate(), "seconds": round(time.monotonic() - started, 1)})
            save_checkpoint(run, task.network, optimiser, history)
            (run / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")
            progress.console.print(_line(epoch, history[-1]))
    return history


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


def rate_at(schedule: Schedule, step: int, steps: int) -> float:
    """Give the learning rate of a step: a short rise, then half a cosine down to a hundredth."""
    rise = max(1, round(schedule.warm_up * steps))
    if step < rise:
        return schedule.rate * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return schedule.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Make the schedule's optimiser; weight decay is for matrices only."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": schedule.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if schedule.optimiser == "adam":
        return torch.optim.AdamW(groups, lr=schedule.rate)
    if schedule.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=schedule.rate, momentum=0.9, nesterov=True)
    return torch.optim.RMSprop(groups, lr=schedule.rate, momentum=0.9)


def _line(epoch: int, record: dict[str, float]) -> str:
    return f"epoch {epoch + 1}: " + ", ".join(f"{key} {value:.4g}" for key, value in record.items() if key != "epoch")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("rate {task.fields[rate]:.2e}"), TimeElapsedColumn(), TimeRemainingColumn(), transient=True,
    )  # fmt: skip


def prefetch(make: Iterator[Batch], depth: int = 4) -> Iterator[Batch]:
    """Prepare batches in a thread while the network computes; an error in the thread is raised here."""
    import queue
    import threading

    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    closed = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in make:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 (carried over to the reader, which raises it)
            put(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
