"""The two networks in torch: the face detector (YuNet) and the classifier of what covers the face.

YuNet follows Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector" (Machine Intelligence Research, 2023),
with the parameter names of its authors' training code, so that their public weights load strictly. The classifier is a
torchvision backbone with the head pooling, dense, ReLU, dropout, dense.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

ClassifierName = Literal["mobilenet_v2", "resnet50"]
STRIDES = (8, 16, 32)
RAW_COLUMNS = 16


class SeparableUnit(nn.Module):
    """Pointwise then depthwise convolution, with batch norm and ReLU unless it ends a head."""

    def __init__(self, inputs: int, outputs: int, *, activate: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)
        self.activate = activate
        if activate:
            self.bn = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (B, inputs, H, W) to float (B, outputs, H, W)."""
        mixed: Tensor = self.conv2(self.conv1(features))
        return functional.relu(self.bn(mixed)) if self.activate else mixed


class Stem(nn.Module):
    """Halve the picture and lift its three colours to the first features."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, outputs, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = SeparableUnit(outputs, outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) BGR 0..255 to float (B, outputs, H/2, W/2)."""
        lifted: Tensor = self.conv2(functional.relu(self.bn1(self.conv1(pictures))))
        return lifted


class Block(nn.Module):
    """Two separable units; the second one changes the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = SeparableUnit(inputs, inputs)
        self.conv2 = SeparableUnit(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (B, inputs, H, W) to float (B, outputs, H, W)."""
        mixed: Tensor = self.conv2(self.conv1(features))
        return mixed


class Backbone(nn.Module):
    """Features at strides 8, 16 and 32."""

    def __init__(self, stem: int, width: int) -> None:
        super().__init__()
        self.model0 = Stem(stem)
        self.model1 = Block(stem, width)
        self.model2 = Block(width, width)
        self.model3 = Block(width, width)
        self.model4 = Block(width, width)
        self.model5 = Block(width, width)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Map float (B, 3, H, W) to three float (B, width, H/stride, W/stride)."""
        return self.after_stem(self.stem(pictures))

    def stem(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to the first features, float (B, width, H/4, W/4): half of all computing."""
        features: Tensor = self.model1(functional.max_pool2d(self.model0(pictures), 2))
        return features

    def after_stem(self, features: Tensor) -> list[Tensor]:
        """Map the stem's features, float (B, width, H/4, W/4), to those at strides 8, 16 and 32."""
        features = functional.max_pool2d(self.model2(features), 2)
        stride8 = self.model3(features)
        stride16 = self.model4(functional.max_pool2d(stride8, 2))
        stride32 = self.model5(functional.max_pool2d(stride16, 2))
        return [stride8, stride16, stride32]


class Neck(nn.Module):
    """Carry what the coarse strides know back to the fine ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(SeparableUnit(width, width) for _ in STRIDES)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map three float (B, width, H/stride, W/stride) to three of the same shapes."""
        stride32 = self.lateral_convs[2](features[2])
        stride16 = self.lateral_convs[1](features[1] + functional.interpolate(stride32, scale_factor=2.0))
        stride8 = self.lateral_convs[0](features[0] + functional.interpolate(stride16, scale_factor=2.0))
        return [stride8, stride16, stride32]


class Head(nn.Module):
    """Per stride: class, objectness, box and landmarks of every grid point, as logits and deltas."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.multi_level_share_convs = nn.ModuleList(nn.Sequential(SeparableUnit(width, width)) for _ in STRIDES)
        self.multi_level_cls = nn.ModuleList(SeparableUnit(width, 1, activate=False) for _ in STRIDES)
        self.multi_level_bbox = nn.ModuleList(SeparableUnit(width, 4, activate=False) for _ in STRIDES)
        self.multi_level_obj = nn.ModuleList(SeparableUnit(width, 1, activate=False) for _ in STRIDES)
        self.multi_level_kps = nn.ModuleList(SeparableUnit(width, 10, activate=False) for _ in STRIDES)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return float (B, N, 16): class logit, objectness logit, 4 box deltas, 10 landmark deltas."""
        levels = []
        for index, level in enumerate(features):
            shared = self.multi_level_share_convs[index](level)
            heads = (self.multi_level_cls, self.multi_level_obj, self.multi_level_bbox, self.multi_level_kps)
            outputs = torch.cat([head[index](shared) for head in heads], dim=1)
            levels.append(outputs.flatten(2).transpose(1, 2))
        return torch.cat(levels, dim=1)


class YuNet(nn.Module):
    """The face detector: 75,856 parameters, faces and five landmarks in one pass."""

    def __init__(self, stem: int = 16, width: int = 64) -> None:
        super().__init__()
        self.backbone = Backbone(stem, width)
        self.neck = Neck(width)
        self.bbox_head = Head(width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Say for every grid point how likely it is a face and where that face lies.

        Args:
            pictures: float, (B, 3, H, W), BGR, 0..255; H and W multiples of 32.

        Returns:
            float, (B, N, 16), N = HW/64 + HW/256 + HW/1024, strides 8, 16, 32 one after the other, row-major: class
            logit, objectness logit, box deltas (dx, dy, log w, log h, in strides), five landmark deltas (dx, dy).
        """
        return self.after_stem(self.backbone.stem(pictures))

    def after_stem(self, features: Tensor) -> Tensor:
        """Give the same for what the backbone's stem made of the pictures."""
        logits: Tensor = self.bbox_head(self.neck(self.backbone.after_stem(features)))
        return logits


class FaceClassifier(nn.Module):
    """A torchvision backbone with a small head; three logits a face."""

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
        logits = self.network(images.permute(0, 3, 1, 2).to(weights.dtype)).float()
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
    """Make an untrained detector.

    Raises:
        ValueError: The architecture is not known.
    """
    if architecture != "yunet_n":
        raise ValueError(f"unknown detector architecture {architecture!r}; known: 'yunet_n'")
    return YuNet()


def build_classifier(architecture: str = "mobilenet_v2", dense: int = 128, dropout: float = 0.5) -> FaceClassifier:
    """Make an untrained classifier with the backbone of the given name.

    Raises:
        ValueError: The architecture is not known.
    """
    from common.models import torchvision_compat

    if architecture == "mobilenet_v2":
        return FaceClassifier(torchvision_compat.mobilenet_v2_features(), 1280, dense, dropout)
    if architecture == "resnet50":
        return FaceClassifier(torchvision_compat.resnet50_features(), 2048, dense, dropout)
    raise ValueError(f"unknown classifier architecture {architecture!r}; known: 'mobilenet_v2', 'resnet50'")
