"""From the detector's raw output on a device to faces: only points above the threshold come to the host."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from common.models.decode import Detections, grid, settle
from workers.backends.torch_lane import Lane


def faces_in(raw: Tensor, lane: Lane, canvas: tuple[int, int], limits: tuple[float, float]) -> list[Detections]:
    """Do what ``common.models.decode.decode`` does, with the same answers, for a raw output on a device.

    Args:
        raw: float32, (B, N, 16).
        lane: Where it lies.
        canvas: (width, height) px that the batch had.
        limits: Least score, and most overlap of two faces, each 0..1.

    Returns:
        One for each canvas of the batch, in px of the canvas.
    """
    min_score, max_iou = limits
    where = (raw[..., 0] >= min_score).nonzero()
    values = raw[where[:, 0], where[:, 1]]
    # Places are below 2^24, which single precision holds exactly: one copy for both.
    found = lane.to_host(torch.cat([where.to(values.dtype), values], dim=1))
    places = found[:, :2].astype(np.intp)
    return settle(found[:, 2:], grid(canvas)[places[:, 1]], places[:, 0], len(raw), max_iou).split()
