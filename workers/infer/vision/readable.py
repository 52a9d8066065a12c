"""What a decoded frame is to those who look at it, wherever its pixels lie."""

from __future__ import annotations

from typing import Protocol

from common.images import Picture


class Readable(Protocol):
    """A decoded frame."""

    @property
    def picture(self) -> Picture:
        """The pixels on the host: uint8, (H, W, 3), BGR; full size, or a half or quarter of it."""

    @property
    def half(self) -> Picture | None:
        """The same at half its size, see `common.images.halve`, where it was made already."""

    @property
    def whole(self) -> bool:
        """Whether the picture is as large as the frame."""

    @property
    def size(self) -> tuple[int, int]:
        """Full (width, height) of the frame, px."""

    @property
    def long_side_px(self) -> int:
        """Long side of the canvas on which its faces are looked for, px."""
