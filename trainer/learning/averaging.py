"""Average the networks of two runs of the same kind: what one run won without all that it lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from common.errors import TrainingError
from trainer.files import replace_file
from trainer.learning.checkpoint import NAME


def average_runs(first: Path, second: Path, share: float, into: Path) -> None:
    """Make a run folder whose network is ``(1 - share) * first + share * second``; settings are the first's.

    Raises:
        TrainingError: A run has no checkpoint, or the two are different networks; nothing is written.
    """
    try:
        a, b = load_file(first / NAME), load_file(second / NAME)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{first}, {second}: no finished runs: {error}") from error
    names = [name for name in a if name.startswith("network.")]
    if any(name not in b or a[name].shape != b[name].shape for name in names):
        raise TrainingError(f"{first} and {second} hold different networks")
    mixed = {name: torch.lerp(a[name].float(), b[name].float(), share).to(a[name].dtype) for name in names}
    into.mkdir(parents=True, exist_ok=True)
    replace_file(into / NAME, save(mixed, {"history": "[]"}))
    shutil.copyfile(first / "settings.json", into / "settings.json")
    report = json.loads((first / "report.json").read_bytes())
    unscored = {"temperature": report.get("temperature", 1.0), "averaged": [first.name, second.name, share]}
    replace_file(into / "report.json", json.dumps(unscored).encode())
