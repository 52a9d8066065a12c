"""Whether a crop that came from elsewhere may lie on the trainer's disk at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import FrameRejectedError, SampleRefusedError
from common.images import Picture
from common.jpeg import decode, inspect
from trainer.data.similar import Hash, difference_hash
from trainer.samples.rows import NO_FACE, SampleRules


@dataclass(frozen=True, slots=True)
class CheckedCrop:
    """A crop that may be kept: its bytes, their SHA-256, how it looks, its (width, height) px."""

    jpeg: bytes
    sha: str
    look: Hash
    size: tuple[int, int]


def check_crop(jpeg: bytes, label: str | None, rules: SampleRules, has_face: Callable[[Picture], bool]) -> CheckedCrop:
    """Check a crop before it may lie on the disk.

    Args:
        jpeg: The crop as it came.
        label: What it is said to be; a picture of what is no face need not show one.
        rules: Size limits.
        has_face: Says whether a picture, uint8, (H, W, 3), BGR, shows a face.

    Raises:
        SampleRefusedError: No picture, too small, too large, or no face in it; nothing was written.
    """
    if len(jpeg) > rules.max_bytes:
        raise SampleRefusedError("too_big", f"a crop of {len(jpeg)} bytes; at most {rules.max_bytes}")
    try:
        info = inspect(jpeg)
        sides = (info.width, info.height)
        if min(sides) < rules.min_side_px or max(sides) > rules.max_side_px:
            limits = f"{rules.min_side_px} to {rules.max_side_px}"
            raise SampleRefusedError("dimensions", f"a crop of {sides[0]}×{sides[1]} px; sides must be {limits}")
        picture = decode(jpeg)
    except FrameRejectedError as error:
        raise SampleRefusedError(error.reason, f"a crop that cannot be read: {error}") from error
    if label != NO_FACE and not has_face(picture):
        raise SampleRefusedError("no_face", "no face is found in the crop")
    return CheckedCrop(jpeg, hashlib.sha256(jpeg).hexdigest(), difference_hash(picture), sides)
