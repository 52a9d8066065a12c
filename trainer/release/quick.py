"""From a finished run of a small classifier to a version of its teacher that asks it first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from common.errors import TrainingError
from common.models.manifest import Manifest, QuickFacts, load_version
from common.models.networks import ClassifierGraph, FaceClassifier, build_classifier
from common.models.torch_load import fill
from trainer.learning.checkpoint import NAME as CHECKPOINT
from trainer.release.beside import Beside, release_beside
from trainer.release.finished_run import network_of
from trainer.release.onnx_export import export_onnx
from trainer.release.version import fold_norms, halve_weights, make_probe
from trainer.settings import ClassifierSettings


def release_quick(run: Path, sure: float, into: Path, notes: dict[str, Any]) -> Manifest:
    """Make a version of a run's teacher that holds the run's network, to be asked first.

    Args:
        run: Run folder of a classifier with a teacher whose crops have twice its side.
        sure: Below this highest probability a face goes to the teacher, 0..1.
        into: Folder of the version.
        notes: See `release_beside`.

    Raises:
        TrainingError: The run folder holds no such run.
        ProbeError: The export does not answer as the network does; what was released before stays.
    """
    try:
        settings = ClassifierSettings.model_validate_json((run / "settings.json").read_bytes())
        report = json.loads((run / "report.json").read_bytes())
        tensors = network_of(run)
    except (OSError, ValidationError, ValueError, TrainingError) as error:
        raise TrainingError(f"{run}: no finished run of a classifier: {error}") from error
    if settings.teacher is None:
        raise TrainingError(f"{run}: learnt without --teacher; there is no version that could ask it first")
    before = load_version(settings.teacher, "classifier")
    about = before.classifier_input
    if (about.side, about.margin) != (2 * settings.side, settings.margin):
        raise TrainingError(
            f"{run}: takes crops of {settings.side} px with margin {settings.margin}; its teacher's, {about.side} px "
            f"with {about.margin}, must be twice as large with the same margin"
        )
    network = build_classifier(settings.architecture, settings.dense, settings.dropout)
    fill(network, tensors, run / CHECKPOINT)
    fold_norms(network)
    take_double(network)
    halve_weights(network)
    graph = ClassifierGraph(network.eval(), float(report.get("temperature", 1.0))).eval()
    facts = QuickFacts(
        sure=sure, probe=make_probe(graph, (4, about.side, about.side, 3), block=about.side // 8, every=1)
    )
    beside = Beside("quick", export_onnx(graph, "classifier", about.side), facts, report)
    return release_beside(before, beside, into, notes)


def take_double(network: FaceClassifier) -> None:
    """Have a network's first convolution read crops of twice the side, each 2x2 px as their mean, in place.

    Raises:
        TrainingError: Its first layer is no 3x3 convolution with stride 2 and padding 1.
    """
    name, first = next((name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv2d))
    if (first.kernel_size, first.stride, first.padding) != ((3, 3), (2, 2), (1, 1)):
        raise TrainingError("only a network that begins with a 3x3 convolution of stride 2 can take larger crops")
    double = nn.Conv2d(first.in_channels, first.out_channels, 6, stride=4, padding=2, bias=first.bias is not None)
    with torch.no_grad():
        double.weight.copy_(first.weight.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4)
        if first.bias is not None and double.bias is not None:
            double.bias.copy_(first.bias)
    network.set_submodule(name, double)
