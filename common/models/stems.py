"""The parts that the detectors are built of, and their ways from pixels to the first features."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional


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


class LeanStem(nn.Module):
    """Reach stride 8 by three plain convolutions and a separable unit.

    Four fifths of what YuNet multiplies on the way there, and a quarter of the values it writes (docs/adr/0049).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        for number, (inputs, outputs) in enumerate(pairwise((3, 16, 32, width)), 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
        self.conv4 = SeparableUnit(width, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) BGR 0..255 to float (B, width, H/8, W/8)."""
        features = pictures
        for number in (1, 2, 3):
            convolution, norm = self.get_submodule(f"conv{number}"), self.get_submodule(f"bn{number}")
            features = functional.relu(norm(convolution(features)))
        ended: Tensor = self.conv4(features)
        return ended


class CoarseStem(nn.Module):
    """Reach stride 8 by a plain convolution over 6x6 px, or 4x4, one of 3x3 and a separable unit.

    Stride 4 at once: nothing is computed for every second pixel, where the other stems spend most of their time. For a
    detector that only glances (docs/adr/0055, 0058).

    Args:
        width: Channels of the features.
        inner: Channels at stride 4.
        window: Side of what the first convolution reads, px: 6, or 4, so that no pixel is read twice.
    """

    def __init__(self, width: int, inner: int, window: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, inner, window, stride=4, padding=(window - 4) // 2)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, width, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = SeparableUnit(width, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map float (B, 3, H, W) BGR 0..255 to float (B, width, H/8, W/8)."""
        features = functional.relu(self.bn1(self.conv1(pictures)))
        ended: Tensor = self.conv3(functional.relu(self.bn2(self.conv2(features))))
        return ended


class Refinement(nn.Module):
    """Two separable units beside a straight way; untrained it changes nothing that is not negative."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = SeparableUnit(width, inner)
        self.conv2 = SeparableUnit(inner, width, activate=False)
        nn.init.zeros_(self.conv2.conv2.weight)
        if self.conv2.conv2.bias is not None:
            nn.init.zeros_(self.conv2.conv2.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (B, width, H, W) to the same shape."""
        return functional.relu(features + self.conv2(self.conv1(features)))
