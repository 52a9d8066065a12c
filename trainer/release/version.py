"""Make a version of a trained network: safetensors, the ONNX file made from it, the manifest and the model card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from common.errors import ProbeError
from common.models.manifest import LABELS, MANIFEST_NAME, Blob, ClassifierInput, DetectorInput, Kind, Manifest
from common.models.names import DetectorName
from common.models.networks import ClassifierGraph, DetectorGraph
from common.models.probe import Probe
from trainer.files import replace_file
from trainer.release.card import model_card
from trainer.release.onnx_export import export_onnx

CANVASES: list[tuple[int, int]] = [(640, 384), (384, 640), (640, 640), (640, 512), (960, 544), (320, 192)]


@dataclass(frozen=True, slots=True)
class ReleaseNotes:
    """What a person must add to the weights.

    Attributes:
        version: Version name, e.g. ``1``.
        metrics: Figures on the validation data, ready for JSON.
        training_data: Data sets with their terms.
        weaknesses: Known weaknesses, one sentence each.
        created: ISO 8601 with zone.
        command: The command that made it.
        thresholds: Named thresholds.
    """

    version: str
    created: str
    command: str
    metrics: dict[str, Any] = field(default_factory=dict)
    training_data: list[str] = field(default_factory=list)
    weaknesses: list[str] = field(default_factory=list)
    thresholds: dict[str, float] = field(default_factory=dict)


def release_detector(
    network: nn.Module, directory: Path, notes: ReleaseNotes, architecture: DetectorName = "yunet_n"
) -> Manifest:
    """Write a detector version into a folder; a version that was there is replaced last, by its manifest.

    Raises:
        ProbeError: The ONNX file does not answer as the torch network does; the folder's manifest is unchanged.
    """
    halve_weights(network)
    graph = DetectorGraph(network).eval()  # type: ignore[arg-type]
    probe = make_probe(graph, (2, 96, 128, 3), block=16, every=7)
    onnx = export_onnx(graph, "detector")
    name = f"{architecture.replace('_', '-')}-mask"
    return _write(directory, network, onnx, probe, notes, kind="detector", name=name, architecture=architecture,
                  classes=("face",), input=DetectorInput(canvases=CANVASES, multiple_of=32),
                  normalisation="none: BGR 0..255 as it comes")  # fmt: skip


def release_classifier(network: nn.Module, directory: Path, notes: ReleaseNotes, **settings: Any) -> Manifest:
    """Write a classifier version into a folder; a version that was there is replaced last, by its manifest.

    Args:
        network: The trained classifier.
        directory: Where to.
        notes: What to say about it.
        settings: ``architecture``, ``side`` px, ``margin``, ``temperature``, ``dense``, ``dropout``.

    Raises:
        ProbeError: The ONNX file does not answer as the torch network does; the folder's manifest is unchanged.
    """
    fold_norms(network)
    halve_weights(network)
    side = int(settings["side"])
    graph = ClassifierGraph(network, settings["temperature"]).eval()  # type: ignore[arg-type]
    probe = make_probe(graph, (4, side, side, 3), block=side // 8 if side % 8 == 0 else side, every=1)
    onnx = export_onnx(graph, "classifier", side)
    return _write(directory, network, onnx, probe, notes, kind="classifier",
                  name=f"{settings['architecture'].replace('_', '-')}-{side}", architecture=settings["architecture"],
                  options={"dense": settings["dense"], "dropout": settings["dropout"]}, classes=LABELS,
                  temperature=settings["temperature"], input=ClassifierInput(side=side, margin=settings["margin"]),
                  normalisation="BGR to RGB, x / 127.5 - 1, inside the graph")  # fmt: skip


def fold_norms(network: nn.Module) -> None:
    """Move every batch norm's scale into the convolution before it, in place; see docs/adr/0034.

    The exporter does so too; done before the matrices are rounded, torch and ONNX compute with the same numbers. The
    norm keeps statistics that fit, so that the network can be trained on as before.
    """
    for module in network.modules():
        children = list(module.children())
        for convolution, norm in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and convolution.bias is None and isinstance(norm, nn.BatchNorm2d):
                _fold(convolution, norm)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        convolution.weight.mul_(scale[:, None, None, None])
        mean.mul_(scale)
        variance.mul_(scale**2)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))


def halve_weights(network: nn.Module) -> None:
    """Round every matrix to half precision in place, so that torch and ONNX compute with the same numbers."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())


def make_probe(graph: nn.Module, shape: tuple[int, int, int, int], block: int, every: int) -> Probe:
    """Ask the network the fixed question and keep its answer."""
    draft = Probe(seed=1, shape=shape, block=block, every=every, expected=[], tolerance=2e-3, tolerance_reduced=0.1)
    with torch.no_grad():
        outputs: NDArray[np.float32] = graph(torch.from_numpy(draft.pixels())).numpy()
    rows = [[round(float(value), 6) for value in row] for row in draft.kept(outputs)]
    return draft.model_copy(update={"expected": rows})


def _write(
    directory: Path, network: nn.Module, onnx: bytes, probe: Probe, notes: ReleaseNotes, **facts: Any
) -> Manifest:
    check_onnx(onnx, probe)
    directory.mkdir(parents=True, exist_ok=True)
    blobs = {
        "safetensors": store_blob(directory / "weights.safetensors", save_safetensors(_half_tensors(network))),
        "onnx": store_blob(directory / "model.onnx", onnx),
    }
    manifest = Manifest(
        version=notes.version, parameters=sum(p.numel() for p in network.parameters()), blobs=blobs, probe=probe,
        thresholds=notes.thresholds, metrics=notes.metrics, training_data=notes.training_data,
        weaknesses=notes.weaknesses, created=notes.created, command=notes.command, **facts,
    )  # fmt: skip
    replace_file(directory / MANIFEST_NAME, (manifest.model_dump_json(indent=1) + "\n").encode())
    replace_file(directory / "README.md", model_card(manifest).encode())
    return manifest


def check_onnx(onnx: bytes, probe: Probe) -> None:
    """Ask the ONNX file the probe's question with OpenVINO in float32.

    Raises:
        ProbeError: It answers differently from the torch network.
    """
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(onnx), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = next(iter(compiled(probe.pixels()).values()))
    try:
        probe.check(outputs)
    except ProbeError as error:
        raise ProbeError(f"the ONNX export: {error}") from error


def _half_tensors(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).detach().contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }


def store_blob(path: Path, data: bytes) -> Blob:
    """Write a file of a version and give what its manifest says of it."""
    replace_file(path, data)
    return Blob(file=path.name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


__all__ = ["Kind", "ReleaseNotes", "make_probe", "release_classifier", "release_detector", "store_blob"]
