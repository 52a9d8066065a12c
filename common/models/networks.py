"""Every network by its name, and the graphs that serve: pixels in, answers out.

The detector is in ``common.models.yunet``. The classifier of what covers the face is a backbone, torchvision's or a
small one for small crops, with the head pooling, dense, ReLU, dropout, dense.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.models.stems import CoarseStem, LeanStem
from common.models.yunet import Backbone, LeanBackbone, YuNet

JOINT = "4"
"""The part of MobileNetV2's backbone before which a dense stem takes the place of parts 0 to 3."""


class DenseFaceStem(nn.Module):
    """Reach stride 4 by three plain convolutions in place of MobileNetV2's first four blocks.

    These spend half of the network's time on wide, thin layers; see docs/adr/0042.
    """

    def __init__(self, outputs: int = 24) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(48)
        self.conv3 = nn.Conv2d(48, outputs, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, crops: Tensor) -> Tensor:
        """Map float (N, 3, S, S) to float (N, outputs, S/4, S/4); linear at its end, as what it stands for."""
        features = functional.relu6(self.bn1(self.conv1(crops)))
        features = functional.relu6(self.bn2(self.conv2(features)))
        ended: Tensor = self.bn3(self.conv3(features))
        return ended


class ResidualBlock(nn.Module):
    """Two plain convolutions beside a straight way: the basic block of He et al., "Deep Residual Learning", 2016."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (N, width, H, W) to the same shape."""
        changed = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        return functional.relu(features + changed)


class TinyResNet(nn.Sequential):
    """A residual network for small crops: halves four times, a block at strides 4, 8 and 16; see docs/adr/0047."""

    WIDTHS = (24, 32, 64, 128)

    def __init__(self) -> None:
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise((3, *self.WIDTHS)):
            parts += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            parts += [nn.ReLU(), ResidualBlock(outputs)] if inputs > 3 else [nn.ReLU()]
        super().__init__(*parts)


class FaceClassifier(nn.Module):
    """A backbone with a small head; three logits a face."""

    def __init__(self, backbone: nn.Module, features: int, dense: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.dense = nn.Linear(features, dense)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dense, 3)

    def forward(self, crops: Tensor) -> Tensor:
        """Map float (N, 3, S, S), RGB, -1..1, to float (N, 3) logits in label order."""
        pooled = functional.adaptive_avg_pool2d(self.backbone(crops), 1).flatten(1)
        logits: Tensor = self.output(self.dropout(functional.relu(self.dense(pooled))))
        return logits

    def entry(self, crops: Tensor) -> Tensor:
        """Map float (N, 3, S, S) to what the backbone hands to its part ``JOINT``, float (N, 24, S/4, S/4)."""
        features = crops
        for name, part in self.backbone.named_children():
            if name == JOINT:
                break
            features = part(features)
        return features


class DetectorGraph(nn.Module):
    """The detector as it serves: pixels in, scores and deltas out; what the ONNX file holds."""

    def __init__(self, network: YuNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 (B, H, W, 3) BGR canvases to float (B, N, 16) as ``common.models.decode`` reads them.

        Columns: 0 score in 0..1 (root of class times objectness), 1..4 box deltas, 5..14 landmark deltas, 15 objectness
        """
        weights = next(self.network.parameters())
        return detections_of(self.network(images.permute(0, 3, 1, 2).to(weights.dtype)).float())


def detections_of(logits: Tensor) -> Tensor:
    """Map the detector's logits and deltas, float (B, N, 16), to what `DetectorGraph` answers."""
    objectness = torch.sigmoid(logits[..., 1:2])
    score = torch.sqrt(torch.sigmoid(logits[..., 0:1]) * objectness)
    return torch.cat([score, logits[..., 2:], objectness], dim=-1)


class ClassifierGraph(nn.Module):
    """The classifier as it serves: pixels in, calibrated probabilities out; what the ONNX file holds."""

    def __init__(self, network: FaceClassifier, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.temperature = float(temperature)

    def forward(self, crops: Tensor) -> Tensor:
        """Map uint8 (N, S, S, 3) BGR crops to float (N, 3) probabilities: mask, no_mask, incorrect."""
        weights = next(self.network.parameters())
        pixels = crops.flip(-1).permute(0, 3, 1, 2).to(weights.dtype) / 127.5 - 1.0
        return torch.softmax(self.network(pixels).float() / self.temperature, dim=-1)


def build_detector(architecture: str = "yunet_n") -> YuNet:
    """Make an untrained detector: ``yunet_n`` (75,856 parameters), ``yunet_lean``, ``yunet_coarse`` or ``yunet_patch``.

    Raises:
        ValueError: The architecture is not known.
    """
    if architecture == "yunet_n":
        return YuNet(Backbone(16, 64), 64)
    if architecture == "yunet_lean":
        return YuNet(LeanBackbone(LeanStem(64), 64), 64)
    if architecture == "yunet_coarse":
        return YuNet(LeanBackbone(CoarseStem(64, 32, 6), 64), 64)
    if architecture == "yunet_patch":
        return YuNet(LeanBackbone(CoarseStem(64, 16, 4), 64), 64)
    known = "'yunet_coarse', 'yunet_lean', 'yunet_n', 'yunet_patch'"
    raise ValueError(f"unknown detector architecture {architecture!r}; known: {known}")


def build_classifier(architecture: str = "mobilenet_v2", dense: int = 128, dropout: float = 0.5) -> FaceClassifier:
    """Make an untrained classifier with the backbone of the given name.

    Raises:
        ValueError: The architecture is not known.
    """
    from common.models import torchvision_compat

    if architecture == "mobilenet_v2":
        return FaceClassifier(torchvision_compat.mobilenet_v2_features(), 1280, dense, dropout)
    if architecture == "mobilenet_v2_dense":
        return FaceClassifier(_with_dense_stem(torchvision_compat.mobilenet_v2_features()), 1280, dense, dropout)
    if architecture == "resnet50":
        return FaceClassifier(torchvision_compat.resnet50_features(), 2048, dense, dropout)
    if architecture == "resnet_tiny":
        return FaceClassifier(TinyResNet(), TinyResNet.WIDTHS[-1], dense, dropout)
    known = "'mobilenet_v2', 'mobilenet_v2_dense', 'resnet50', 'resnet_tiny'"
    raise ValueError(f"unknown classifier architecture {architecture!r}; known: {known}")


def _with_dense_stem(features: nn.Module) -> nn.Sequential:
    """Keep MobileNetV2's later parts under their own names, so that its weights fit them."""
    parts = OrderedDict({"0": DenseFaceStem()} | {n: p for n, p in features.named_children() if int(n) >= int(JOINT)})
    return nn.Sequential(parts)
