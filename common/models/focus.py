"""The detector at a glance: beside its usual answers on a small canvas, where faces may be that deserve a second look.

The map is that of AutoFocus (Najibi, Singh and Davis, "AutoFocus: Efficient Multi-Scale Inference", ICCV 2019, section
3.1); here its head reads features that the detector has computed anyway. See docs/adr/0053.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.models.networks import detections_of
from common.models.yunet import YuNet

WIDTH = 64
INNER = 32
MAPS = 2
"""One of small faces, one of those that the detector finds by itself if they are easy."""


class FocusHead(nn.Module):
    """Says of every cell of 8x8 px whether a small or a middling face lies there, from features at stride 8.

    Large faces the detector sees by itself.

    Args:
        width: Channels of the detector's features.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2 * width, affine=False)
        self.mix = nn.Conv2d(2 * width, INNER, 1)
        self.around = nn.Conv2d(INNER, INNER, 3, padding=1)
        self.say = nn.Conv2d(INNER, MAPS, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map float (B, 2 width, H/8, W/8) to logits, float (B, MAPS, H/8, W/8)."""
        mixed = functional.relu(self.mix(self.norm(features)))
        logits: Tensor = self.say(functional.relu(self.around(mixed)))
        return logits


class SettledHead(nn.Module):
    """A focus head as it serves: the same numbers without putting its features together and normalising them.

    Args:
        head: Taught; its norm is multiplied into the weights of its first convolution.
    """

    def __init__(self, head: FocusHead) -> None:
        super().__init__()
        mean, variance = head.norm.running_mean, head.norm.running_var
        if mean is None or variance is None:
            raise ValueError("a focus head without statistics of its features cannot serve")
        weight = head.mix.weight.detach() / torch.sqrt(variance + head.norm.eps)[:, None, None]
        before, after = weight.chunk(2, dim=1)
        self.before, self.after = (nn.Parameter(part.contiguous()) for part in (before, after))
        shift = (weight * mean[:, None, None]).sum(dim=(1, 2, 3))
        self.bias = nn.Parameter((0 if head.mix.bias is None else head.mix.bias.detach()) - shift)
        self.around, self.say = head.around, head.say

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Map features before and after the neck, float (B, width, H/8, W/8) each, to what `FocusHead` answers."""
        mixed = functional.conv2d(before, self.before) + functional.conv2d(after, self.after, self.bias)
        logits: Tensor = self.say(functional.relu(self.around(functional.relu(mixed))))
        return logits


def glance_at(network: YuNet, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what the detector sees and what a focus head reads.

    Args:
        network: The detector.
        pictures: float, (B, 3, H, W), BGR, 0..255; H and W multiples of 32.

    Returns:
        The detector's logits, float (B, N, 16), and features before and after its neck, float (B, width, H/8, W/8).
    """
    entry = network.backbone.entry(pictures)
    fine = network.neck(network.backbone.rise(entry))
    return network.bbox_head(fine), entry, fine[0]


class GlanceGraph(nn.Module):
    """Detector and focus head as they serve; what a version's glance file holds."""

    def __init__(self, network: YuNet, head: FocusHead) -> None:
        super().__init__()
        self.network = network
        self.head = SettledHead(head)

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 (B, H, W, 3) BGR canvases to float (B, N, 17): `DetectorGraph`'s columns, then focus, 0..1.

        Focus is the cell's higher chance for the points of stride 8 and 0 for the others.
        """
        weights = next(self.network.parameters())
        logits, *features = glance_at(self.network, images.permute(0, 3, 1, 2).to(weights.dtype))
        focus = torch.sigmoid(self.head(*features).float()).amax(dim=1).flatten(1)
        beyond = logits.shape[1] - focus.shape[1]
        column = functional.pad(focus, (0, beyond))
        return torch.cat([detections_of(logits.float()), column[..., None]], dim=-1)
