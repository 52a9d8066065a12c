"""The one place that imports torchvision, also where its native operators cannot be loaded.

A CPU build of torch beside a torchvision wheel made for CUDA has no ``torchvision::nms`` and ``torchvision::qnms``,
and importing torchvision registers shape functions for both. Defining the two schemas first lets the import go
through; nothing here calls them.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from common import jpeg
from common.errors import BackendError

JpegDecoder = Callable[[list[torch.Tensor]], list[torch.Tensor]]

_MISSING_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[torch.library.Library] = []


@functools.cache
def torchvision_models() -> ModuleType:
    """Import ``torchvision.models``, making up for missing native operators first."""
    try:
        from torchvision import models
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _define_missing_schemas()
        from torchvision import models
    return models  # type: ignore[no-any-return]


def jpeg_decoder(device: torch.device) -> JpegDecoder:
    """Give the decoder of a CUDA device (nvJPEG), proven on a small picture.

    Returns:
        Takes files, each uint8 (L,) on the host, and gives uint8 (3, H, W) RGB on the device for each, grey ones too;
        raises RuntimeError where it cannot decode them all.

    Raises:
        BackendError: There is none; the message names what is missing.
    """
    if device.type != "cuda":
        raise BackendError(f"nvJPEG decodes on CUDA only, not on {device.type}")
    try:
        torchvision_models()
        from torchvision import io
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"torchvision cannot be used: {error}") from error

    def decode(files: list[torch.Tensor]) -> list[torch.Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer releases announce a successor with every call
            return list(io.decode_jpeg(files, mode=io.ImageReadMode.RGB, device=device))

    proof = torch.frombuffer(bytearray(jpeg.encode(np.full((64, 64, 3), 90, np.uint8))), dtype=torch.uint8)
    try:
        decode([proof])
    except (AttributeError, RuntimeError) as error:
        raise BackendError(f"torchvision's nvJPEG decoder cannot be used: {str(error).splitlines()[0]}") from error
    return decode


def _define_missing_schemas() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _MISSING_SCHEMAS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)  # type: ignore[no-untyped-call]
    _libraries.append(library)  # a schema lives as long as the library that defined it


def mobilenet_v2_features(weights: Any = None) -> nn.Module:
    """Give MobileNetV2 up to its last feature map: float (N, 3, S, S) to (N, 1280, S/32, S/32).

    Args:
        weights: A torchvision weights name such as ``"IMAGENET1K_V2"`` (downloaded), or None for untrained.
    """
    features: nn.Module = torchvision_models().mobilenet_v2(weights=weights).features
    return features


def resnet50_features(weights: Any = None) -> nn.Module:
    """Give ResNet50 up to its last feature map: float (N, 3, S, S) to (N, 2048, S/32, S/32).

    Args:
        weights: A torchvision weights name such as ``"IMAGENET1K_V2"`` (downloaded), or None for untrained.
    """
    whole = torchvision_models().resnet50(weights=weights)
    stages = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    named = nn.Sequential()
    for stage in stages:
        named.add_module(stage, getattr(whole, stage))
    return named
