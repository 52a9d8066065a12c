"""Load a version's safetensors into its torch network, trusting nothing: keys, shapes, types, finite values."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from common.errors import ManifestError
from common.models.manifest import ModelVersion
from common.models.networks import ClassifierGraph, DetectorGraph, build_classifier, build_detector


def load_graph(version: ModelVersion) -> DetectorGraph | ClassifierGraph:
    """Make the serving network of a verified version, in float32, on the CPU, in evaluation mode.

    Returns:
        A module that takes uint8 NHWC BGR pixels and answers as the version's ONNX file does.

    Raises:
        BlobMismatchError: The weights changed since the version was verified.
        ManifestError: An unknown architecture, or tensors that do not fit it; nothing was kept.
    """
    manifest = version.manifest
    try:
        network: nn.Module
        if manifest.kind == "detector":
            network = build_detector(manifest.architecture)
        else:
            dense, dropout = int(manifest.options.get("dense", 128)), float(manifest.options.get("dropout", 0.5))
            network = build_classifier(manifest.architecture, dense, dropout)
    except ValueError as error:
        raise ManifestError(f"{version.directory}: {error}") from error
    fill(network, parse_tensors(version.read("safetensors"), version.safetensors_path), version.safetensors_path)
    network.eval()
    if manifest.kind == "detector":
        return DetectorGraph(network).eval()  # type: ignore[arg-type]
    return ClassifierGraph(network, manifest.temperature).eval()  # type: ignore[arg-type]


def parse_tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    """Parse safetensors bytes.

    Raises:
        ManifestError: The bytes are no safetensors file.
    """
    try:
        return dict(load_safetensors(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ManifestError(f"{path}: no safetensors file: {error}") from error


def fill(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy tensors into a network after checking that exactly the right ones are there.

    Raises:
        ManifestError: A tensor is missing, unknown, of another shape or not finite; the network is unchanged.
    """
    wanted = network.state_dict()
    missing, unknown = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or unknown:
        raise ManifestError(
            f"{path}: tensors missing {missing[:3]}, unknown {unknown[:3]} ({len(missing)} and {len(unknown)})"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise ManifestError(
                f"{path}: {name} has shape {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
            )
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            raise ManifestError(f"{path}: {name} is {tensor.dtype} instead of {wanted[name].dtype}")
        if not bool(torch.isfinite(tensor.float()).all()):
            raise ManifestError(f"{path}: {name} holds values that are not finite")
    network.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()})
