"""The checkpoint of a run: one safetensors file with weights and optimiser state, replaced in one move."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from common.errors import ManifestError, TrainingError
from common.models.torch_load import fill
from trainer.files import replace_file

NAME = "checkpoint.safetensors"


def save_checkpoint(
    run: Path, network: nn.Module, optimiser: torch.optim.Optimizer, history: list[dict[str, float]]
) -> None:
    """Write the run's checkpoint; a crash in the middle leaves the one before."""
    tensors = {f"network.{name}": tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{key}"] = value.detach().cpu().contiguous().clone()
    replace_file(run / NAME, save(tensors, {"history": json.dumps(history)}))


def load_checkpoint(run: Path, network: nn.Module, optimiser: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Put network and optimiser back to the run's last finished epoch, and give its history.

    Raises:
        TrainingError: There is no checkpoint, or it belongs to another network; both are unchanged.
    """
    path = run / NAME
    if not path.is_file():
        raise TrainingError(f"{path}: nothing to resume from")
    try:
        with safe_open(path, "pt") as stored:
            history: list[dict[str, float]] = json.loads(stored.metadata()["history"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        fill(network, {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")}, path)
    except (SafetensorError, ManifestError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: cannot resume: {error}") from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return history
