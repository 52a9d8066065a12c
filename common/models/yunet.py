"""The face detector in torch: YuNet, and the same trunk behind a leaner stem.

YuNet follows Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector" (Machine Intelligence Research, 2023),
with the parameter names of its authors' training code, so that their public weights load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.models.stems import Block, CoarseStem, LeanStem, Refinement, SeparableUnit, Stem

STRIDES = (8, 16, 32)
RAW_COLUMNS = 16


class Trunk(nn.Module):
    """Features at strides 8, 16 and 32 from those at which the trunk begins."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model3 = Block(width, width)
        self.model4 = Block(width, width)
        self.model5 = Block(width, width)

    def rise(self, entry: Tensor) -> list[Tensor]:
        """Map float (B, width, H/8, W/8) to three float (B, width, H/stride, W/stride)."""
        stride8 = self.model3(entry)
        stride16 = self.model4(functional.max_pool2d(stride8, 2))
        stride32 = self.model5(functional.max_pool2d(stride16, 2))
        return [stride8, stride16, stride32]


class Backbone(Trunk):
    """YuNet's own: separable units from the first layer on."""

    def __init__(self, stem: int, width: int) -> None:
        super().__init__(width)
        self.model0 = Stem(stem)
        self.model1 = Block(stem, width)
        self.model2 = Block(width, width)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Map float (B, 3, H, W) to three float (B, width, H/stride, W/stride)."""
        return self.after_stem(self.stem(pictures))

    def stem(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to the first features, float (B, width, H/4, W/4): half of all computing."""
        features: Tensor = self.model1(functional.max_pool2d(self.model0(pictures), 2))
        return features

    def after_stem(self, features: Tensor) -> list[Tensor]:
        """Map the stem's features, float (B, width, H/4, W/4), to those at strides 8, 16 and 32."""
        return self.rise(self._second(features))

    def entry(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to what the trunk begins with, float (B, width, H/8, W/8)."""
        return self._second(self.stem(pictures))

    def _second(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(self.model2(features), 2)


class LeanBackbone(Trunk):
    """The same trunk behind a lean stem, with a refinement at the two strides where one costs next to nothing."""

    def __init__(self, stem: LeanStem | CoarseStem, width: int) -> None:
        super().__init__(width)
        self.model0 = stem
        self.refine4 = Refinement(width, 2 * width)
        self.refine5 = Refinement(width, 2 * width)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Map float (B, 3, H, W) to three float (B, width, H/stride, W/stride)."""
        return self.after_stem(self.stem(pictures))

    def stem(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to the first features, float (B, width, H/8, W/8)."""
        features: Tensor = self.model0(pictures)
        return features

    def after_stem(self, features: Tensor) -> list[Tensor]:
        """Map the stem's features, float (B, width, H/8, W/8), to those at strides 8, 16 and 32."""
        return self.rise(features)

    def entry(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to what the trunk begins with, float (B, width, H/8, W/8)."""
        return self.stem(pictures)

    def rise(self, entry: Tensor) -> list[Tensor]:
        """Map float (B, width, H/8, W/8) to three float (B, width, H/stride, W/stride)."""
        stride8 = self.model3(entry)
        stride16 = self.refine4(self.model4(functional.max_pool2d(stride8, 2)))
        stride32 = self.refine5(self.model5(functional.max_pool2d(stride16, 2)))
        return [stride8, stride16, stride32]


class Neck(nn.Module):
    """Carry what the coarse strides know back to the fine ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
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
    """The face detector: faces and five landmarks in one pass.

    Args:
        backbone: Gives features of ``width`` channels at three strides.
        width: Channels of the features.
    """

    def __init__(self, backbone: Backbone | LeanBackbone, width: int) -> None:
        super().__init__()
        self.backbone = backbone
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

    def entry(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) to what the trunk begins with, float (B, width, H/8, W/8)."""
        return self.backbone.entry(pictures)

    def after_stem(self, features: Tensor) -> Tensor:
        """Give the same for what the backbone's stem made of the pictures."""
        logits: Tensor = self.bbox_head(self.neck(self.backbone.after_stem(features)))
        return logits
