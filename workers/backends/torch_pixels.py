"""Pixels on a device: what ``common.images`` and ``common.models.preprocess`` do, for many pictures at once.

Both ways of resizing that are used there, averaging and bilinear, treat rows and columns apart, and each is a matrix.
Two products therefore resize any number of pictures, exactly as wanted up to rounding: results differ from OpenCV's by
at most 1 of 255, in half precision too.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.geometry import FloatArray, Letterbox
from common.images import MOST_BILINEAR, bilinear_suffices
from common.models.preprocess import blur_scale

Pixels = Tensor
"""uint8 on a device, of any shape: its own name for those who need not know of torch."""
Pictures = Tensor
"""uint8, (B, 3, H, W), RGB, as decoders on a device give them."""


def letterbox_all(pictures: Pictures, canvas: tuple[int, int]) -> tuple[Tensor, Letterbox]:
    """Scale pictures of one size into the upper left corners of black canvases, as ``preprocess.letterbox`` does.

    Args:
        pictures: uint8, (B, 3, H, W), RGB.
        canvas: (width, height), px.

    Returns:
        uint8, (B, height, width, 3), BGR, and the letterbox of all.
    """
    fit = Letterbox.fit((pictures.shape[3], pictures.shape[2]), canvas)
    small = resize_all(pictures, (fit.width, fit.height), whole=True)
    canvases = torch.zeros((len(pictures), canvas[1], canvas[0], 3), dtype=torch.uint8, device=pictures.device)
    canvases[:, : fit.height, : fit.width] = _interleaved(small)
    return canvases, fit


def resize_all(pictures: Pictures, size: tuple[int, int], *, whole: bool = False) -> Pictures:
    """Resize pictures to (width, height) px, as ``images.resize`` does; themselves where the size is right.

    Both sides shrink, or both grow: where one does either, OpenCV mixes its two ways in one of its own. ``whole``: as
    ``images.scale`` does.
    """
    width, height = size
    if pictures.shape[2:] == (height, width):
        return pictures
    kind = _precision(pictures.device)
    bilinear = whole and bilinear_suffices((pictures.shape[3], pictures.shape[2]), size)
    rows = _whole_axis(pictures.shape[2], height, pictures.device, bilinear=bilinear)
    columns = _whole_axis(pictures.shape[3], width, pictures.device, bilinear=bilinear)
    return _bytes(rows @ pictures.to(kind) @ columns.T)


def crop_all(pictures: Pictures, which: NDArray[np.intp], squares: FloatArray, side: int) -> Tensor:
    """Cut squares out of pictures of one size, as ``images.crop`` does.

    Args:
        pictures: uint8, (B, 3, H, W), RGB.
        which: intp, (K,), the picture of each square.
        squares: float32, (K, 4), x1 y1 x2 y2, px; may reach outside.
        side: Side of the crops, px.

    Returns:
        uint8, (K, side, side, 3), BGR, black outside the pictures.
    """
    height, width = pictures.shape[2:]
    device = pictures.device
    lengths, *placed = _placed(squares, width, height, side)
    along = torch.from_numpy(np.stack(placed)).to(device)
    bilinear = torch.from_numpy(lengths <= MOST_BILINEAR * side).to(device)[:, None, None]
    columns, rows = (
        _weights(axis, side, length, bilinear=bilinear) for axis, length in zip(along, (width, height), strict=True)
    )
    chosen = pictures[torch.from_numpy(which).to(device)].to(_precision(device))
    return _interleaved(_bytes(rows[:, None] @ chosen @ columns[:, None].transpose(2, 3)))


def blur_all(crops: Tensor, margin: float) -> Tensor:
    """Measure how sharp faces are, as ``workers.infer.vision.pipeline.blur_of`` does.

    Args:
        crops: uint8, (K, S, S, 3), BGR.
        margin: Share of the face box's longer side that the crops hold on every side beyond it.

    Returns:
        float32, (K,).
    """
    edge = int(crops.shape[1] * margin / (1 + 2 * margin)) if margin else 0
    grey = crops[:, edge : crops.shape[1] - edge, edge : crops.shape[2] - edge, 1].float()
    middle = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * middle
    return laplacian.var(dim=(1, 2), correction=0) * blur_scale(crops.shape[1])


def stacked(pictures: list[Tensor]) -> Pictures:
    """Put pictures of one size, uint8 (3, H, W), into one tensor."""
    return torch.stack(pictures)


def side_by_side(held: Tensor, lengths: list[int]) -> list[Tensor]:
    """Cut a tensor, (N,), into parts of these lengths, which share its memory."""
    return list(torch.split(held, lengths))


def joined(parts: list[Tensor], axis: int = 0) -> Tensor:
    """Put tensors behind one another."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)


def planes(pixels: Tensor) -> Tensor:
    """Turn uint8 (H, W, 3) BGR, as the host has them, into uint8 (3, H, W) RGB."""
    return pixels.permute(2, 0, 1).flip(0).contiguous()


def interleaved(picture: Tensor) -> Tensor:
    """Turn uint8 (3, H, W) RGB into uint8 (H, W, 3) BGR, as the host has them."""
    return picture.flip(0).permute(1, 2, 0).contiguous()


def _interleaved(pictures: Pictures) -> Tensor:
    return pictures.flip(1).permute(0, 2, 3, 1)


def _bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _precision(device: torch.device) -> torch.dtype:
    """Half precision holds every byte exactly, and weights to 1/2048."""
    return torch.float16 if device.type == "cuda" else torch.float32


@functools.lru_cache(maxsize=256)
def _whole_axis(length: int, size: int, device: torch.device, *, bilinear: bool) -> Tensor:
    axis = torch.tensor([[0.0, length, 0.0, size]], device=device)
    return _weights(axis, size, length, bilinear=torch.tensor(bilinear, device=device))[0]


def _placed(squares: FloatArray, width: int, height: int, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Say which pixels of a picture go to which of a crop.

    Returns:
        Lengths of the squares, float64, (K,), px; and for columns and rows each float32, (K, 4): first and last source
        px, place and size in the crop, px; a size of 0 where the square lies outside.
    """
    squares = np.asarray(squares, np.float32).reshape(-1, 4)
    sides = np.maximum(squares[:, 2] - squares[:, 0], squares[:, 3] - squares[:, 1])
    length = np.maximum(1, np.rint(sides.astype(np.float64)))
    scale = side / length
    placed, inside = [], np.ones(len(squares), bool)
    for corner, limit in zip(np.floor(squares[:, :2].astype(np.float64)).T, (width, height), strict=True):
        first, last = np.maximum(corner, 0), np.minimum(corner + length, limit)
        place = np.minimum(side - 1, np.rint((first - corner) * scale))
        size = np.maximum(1, np.minimum(side, np.rint((last - corner) * scale)) - place)
        placed.append(np.stack([first, last, place, size], axis=1))
        inside &= first < last
    columns, rows = (np.where(inside[:, None], one, [0, 1, 0, 0]).astype(np.float32) for one in placed)
    return length, columns, rows


def _weights(axis: Tensor, side: int, length: int, *, bilinear: Tensor) -> Tensor:
    """Make the matrices of an axis: averaging where it shrinks, bilinear where it grows.

    Args:
        axis: float32, (K, 4): source px [first, last), then place and size in the result, px.
        side: Result's length, px.
        length: Source's length, px.
        bilinear: bool, () or (K, 1, 1): bilinear where it shrinks, too.

    Returns:
        (K, side, length), half precision on CUDA; rows outside [place, place + size) are 0.
    """
    first, last, place, size = (part[:, None, None] for part in axis.unbind(1))
    step = (last - first) / size.clamp(min=1)
    wanted = torch.arange(side, device=axis.device, dtype=torch.float32)[None, :, None] - place
    source = torch.arange(length, device=axis.device, dtype=torch.float32)[None, None]
    low = first + wanted * step
    shares = (torch.minimum(source + 1, low + step) - torch.maximum(source, low)).clamp(min=0) / step
    centre = torch.minimum(torch.maximum(low + step / 2 - 0.5, first), last - 1)
    hats = (1 - (source - centre).abs()).clamp(min=0)
    chosen = torch.where((step >= 1) & ~bilinear, shares, hats) * ((wanted >= 0) & (wanted < size))
    return chosen.to(_precision(axis.device))
