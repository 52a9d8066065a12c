"""A decoded frame whose pixels lie on a device, and come to the host only where somebody wants to see them."""

from __future__ import annotations

from dataclasses import dataclass

from common.images import Picture
from workers.backends.torch_lane import Lane
from workers.backends.torch_pixels import Pixels, interleaved
from workers.infer.vision.canvas import LONG_SIDE_PX


@dataclass(frozen=True, slots=True)
class DeviceFrame:
    """A picture on a device and the size of the frame it came from.

    Attributes:
        pixels: uint8, (3, H, W), RGB; full size, or a half or quarter of it. Complete: any lane may read it.
        width: Full width, px, by the JPEG's own header.
        height: Full height, px.
        lane: Brings pixels to the host.
        long_side_px: Long side of the canvas on which faces are looked for, px.
    """

    pixels: Pixels
    width: int
    height: int
    lane: Lane
    long_side_px: int = LONG_SIDE_PX

    @property
    def picture(self) -> Picture:
        """The pixels, fetched anew each time: uint8, (H, W, 3), BGR."""
        with self.lane.entered():
            self.lane.keep(self.pixels)
            fetched: Picture = self.lane.to_host(interleaved(self.pixels))
        return fetched

    @property
    def half(self) -> None:
        """None: on a device pictures are halved where they are wanted so."""

    @property
    def whole(self) -> bool:
        """Whether the picture is full size."""
        return bool(self.pixels.shape[2] == self.width)

    @property
    def size(self) -> tuple[int, int]:
        """Full (width, height), px."""
        return self.width, self.height
