"""A small grey copy of a picture, and what can be told from it cheaply: brightness, sharpness, a fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from common import jpeg
from common.images import scale
from producers.sources.source import Image, SourceFrame

THUMBNAIL_WIDTH_PX = 320


@dataclass(frozen=True, slots=True)
class Reading:
    """What one picture looks like.

    Attributes:
        fingerprint: Equal only for pictures without any difference; sensor noise alone makes it differ.
        luma: Mean brightness, 0–255.
        sharpness: Variance of the Laplacian of the thumbnail; small is blurred.
    """

    fingerprint: bytes
    luma: float
    sharpness: float


def thumbnail(frame: SourceFrame) -> Image:
    """Make the small grey copy.

    Returns:
        uint8, (h, w), at most 320 px wide (up to twice that from a JPEG, which is decoded no further than needed).

    Raises:
        FrameRejectedError: The frame's JPEG cannot be decoded.
    """
    image = frame.image
    if image is None:
        assert frame.jpeg is not None, "a frame has a picture or a JPEG"  # noqa: S101 - the type's own promise
        image = jpeg.decode_grey(frame.jpeg, reduce=_reduction(frame.width))
    height, width = image.shape[:2]
    ratio = THUMBNAIL_WIDTH_PX / width
    if ratio < 1:
        size = (THUMBNAIL_WIDTH_PX, max(1, round(height * ratio)))
        image = _uint8(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return image if image.ndim == 2 else _uint8(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def read(grey: Image) -> Reading:
    """Look at a thumbnail, uint8, (h, w)."""
    fingerprint = hashlib.blake2b(grey.tobytes(), digest_size=16).digest()
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return Reading(fingerprint, float(grey.mean()), sharpness)


def fit(image: Image, width: int) -> Image:
    """Scale a picture down to ``width`` px where it is wider; uint8, (H, W, 3), BGR."""
    have = image.shape[1]
    if have <= width:
        return image
    height = max(1, round(image.shape[0] * width / have))
    return scale(image, (width, height))


def _reduction(width: int) -> int:
    return next((factor for factor in (8, 4, 2) if width // factor >= THUMBNAIL_WIDTH_PX), 1)


def _uint8(array: object) -> Image:
    return np.asarray(array, np.uint8)
