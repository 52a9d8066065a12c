"""The canvases that the detector looks at: as large as the usual ones, or as a camera needs."""

from __future__ import annotations

from functools import lru_cache

LONG_SIDE_PX = 640
CANVASES = ((640, 384), (640, 480), (640, 640), (384, 640), (480, 640))
"""Canvas sizes (width, height), px: 16:9, 4:3 and square, lying and standing."""
Canvases = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def canvases_of(long_side_px: int) -> Canvases:
    """Give the usual canvases, (width, height) px, brought to another long side in multiples of 32."""

    def scaled(side: int) -> int:
        return max(32, round(side * long_side_px / LONG_SIDE_PX / 32) * 32)

    return tuple(dict.fromkeys((scaled(width), scaled(height)) for width, height in CANVASES))
