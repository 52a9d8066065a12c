"""How fast a run learns: the rate of every step and the optimiser."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from trainer.settings import Schedule


def rate_at(schedule: Schedule, step: int, steps: int) -> float:
    """Give the learning rate of a step: a short rise, then the height kept, or half a cosine down to a hundredth."""
    rise = max(1, round(schedule.warm_up * steps))
    if step < rise:
        return schedule.rate * (step + 1) / rise
    if schedule.course == "constant":
        return schedule.rate
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
