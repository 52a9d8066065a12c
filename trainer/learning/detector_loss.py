"""The detector's loss: each face gets the grid points that fit it best (SimOTA), boxes by EIoU, scores by entropy.

SimOTA: Ge et al., "YOLOX: Exceeding YOLO Series in 2021"; EIoU: Zhang et al., "Focal and Efficient IOU Loss", 2021; the
combination follows Wu, Peng and Yu's YuNet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CENTRE_RADIUS = 2.5
CANDIDATES = 10
FAR = 1e5
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Target:
    """What one canvas should give.

    Attributes:
        boxes: float, (K, 4), faces, px.
        ignored: float, (J, 4), places where nothing is right or wrong, px.
        landmarks: float, (N, 10), landmark deltas that the starting network gives at every grid point.
        landmark_known: bool, (N,), where it was sure.
    """

    boxes: Tensor
    ignored: Tensor
    landmarks: Tensor
    landmark_known: Tensor


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each part counts."""

    box: float = 5.0
    landmark: float = 0.1


def detector_loss(logits: Tensor, points: Tensor, targets: list[Target], weights: LossWeights) -> Tensor:
    """Say how wrong a batch is.

    Args:
        logits: float, (B, N, 16), as ``YuNet`` gives them.
        points: float, (N, 3): column, row, stride px.
        targets: One a canvas.
        weights: Weights of the parts.

    Returns:
        A scalar, per face of the batch.
    """
    parts = [_canvas_loss(one, points, target, weights) for one, target in zip(logits, targets, strict=True)]
    faces = max(1.0, float(sum(count for _, count in parts)))
    return torch.stack([loss for loss, _ in parts]).sum() / faces


def likeness_loss(logits: Tensor, opinion: Tensor, weights: LossWeights) -> Tensor:
    """Say how far a batch is from what another detector answers: every grid point teaches, not only labelled faces.

    Args:
        logits: float, (B, N, 16), as ``YuNet`` gives them.
        opinion: The same from the teacher.
        weights: Weights of the parts.

    Returns:
        A scalar, per point where the teacher sees a face.
    """
    seen = opinion[..., 1].sigmoid()
    loss = functional.binary_cross_entropy_with_logits(logits[..., 1], seen, reduction="sum")
    kind = functional.binary_cross_entropy_with_logits(logits[..., 0], opinion[..., 0].sigmoid(), reduction="none")
    apart = functional.smooth_l1_loss(logits[..., 2:], opinion[..., 2:], reduction="none", beta=0.1)
    place = weights.box * apart[..., :4].sum(dim=-1) + weights.landmark * apart[..., 4:].sum(dim=-1)
    return (loss + (seen * (kind + place)).sum()) / seen.sum().clamp(min=1.0)


def _canvas_loss(logits: Tensor, points: Tensor, target: Target, weights: LossWeights) -> tuple[Tensor, int]:
    boxes = boxes_of(logits[:, 2:6], points)
    matched = assign(logits.detach(), boxes.detach(), points, target.boxes)
    positive = matched >= 0
    counted = positive | ~inside_any(points, target.ignored)
    objectness = functional.binary_cross_entropy_with_logits(logits[:, 1], positive.float(), reduction="none")
    loss = objectness[counted].sum()
    count = int(positive.sum())
    if not count:
        return loss, 0
    truth = target.boxes[matched[positive]]
    overlap, penalty = iou_and_penalty(boxes[positive], truth)
    loss = loss + functional.binary_cross_entropy_with_logits(
        logits[positive, 0], overlap.detach().clamp(0, 1), reduction="sum"
    )
    loss = loss + weights.box * (1 - overlap + penalty).sum()
    known = positive & target.landmark_known
    if weights.landmark and bool(known.any()):
        loss = loss + weights.landmark * functional.smooth_l1_loss(
            logits[known, 6:16], target.landmarks[known], reduction="sum"
        )
    return loss, count


def boxes_of(deltas: Tensor, points: Tensor) -> Tensor:
    """Turn box deltas (N, 4) at grid points (N, 3) into boxes (N, 4), x1 y1 x2 y2, px."""
    stride = points[:, 2:3]
    centres = (points[:, :2] + deltas[:, :2]) * stride
    halves = deltas[:, 2:].clamp(max=8.0).exp() * stride / 2
    return torch.cat([centres - halves, centres + halves], dim=1)


def assign(logits: Tensor, boxes: Tensor, points: Tensor, faces: Tensor) -> Tensor:
    """Give each grid point the index of its face, or -1; int64, (N,).

    A face takes as many of its cheapest points as its best overlaps add up to; one claimed twice goes to the cheaper.
    """
    matched = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    if not len(faces):
        return matched
    middles = (points[:, :2] + 0.5) * points[:, 2:3]
    inside = ((middles[:, None] > faces[None, :, :2]) & (middles[:, None] < faces[None, :, 2:])).all(dim=2)
    centres = (faces[:, :2] + faces[:, 2:]) / 2
    near = ((middles[:, None] - centres[None]).abs() < CENTRE_RADIUS * points[:, None, 2:3]).all(dim=2)
    candidates = torch.nonzero((inside | near).any(dim=1)).squeeze(1)
    if not len(candidates):
        return matched
    overlap = iou(boxes[candidates], faces)
    score = (logits[candidates, 0].sigmoid() * logits[candidates, 1].sigmoid()).sqrt()
    cost = -score.clamp(min=TINY).log()[:, None] - 3 * overlap.clamp(min=TINY).log()
    cost = cost + FAR * (~(inside & near)[candidates])
    wanted = overlap.topk(min(CANDIDATES, len(candidates)), dim=0).values.sum(dim=0).int().clamp(min=1)
    claims = torch.zeros_like(cost, dtype=torch.bool)
    for face, number in enumerate(wanted.tolist()):
        claims[cost[:, face].topk(min(number, len(candidates)), largest=False).indices, face] = True
    cheapest = cost.masked_fill(~claims, float("inf")).min(dim=1)
    taken = torch.isfinite(cheapest.values)
    matched[candidates[taken]] = cheapest.indices[taken]
    return matched


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of ``a`` (N, 4) with every box of ``b`` (M, 4): (N, M)."""
    sides = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp(min=0)
    both = sides.prod(dim=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(dim=1), (b[:, 2:] - b[:, :2]).prod(dim=1)
    return both / (area_a[:, None] + area_b[None] - both).clamp(min=TINY)


def iou_and_penalty(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap of each box (K, 4) with its own face, and EIoU's penalty for centre and sides that differ: two (K,)."""
    sides = (torch.minimum(boxes[:, 2:], truth[:, 2:]) - torch.maximum(boxes[:, :2], truth[:, :2])).clamp(min=0)
    both = sides.prod(dim=1)
    size, truth_size = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    overlap = both / (size.prod(dim=1) + truth_size.prod(dim=1) - both).clamp(min=TINY)
    hull = torch.maximum(boxes[:, 2:], truth[:, 2:]) - torch.minimum(boxes[:, :2], truth[:, :2])
    squares = (hull**2).clamp(min=TINY)
    shift = (boxes[:, :2] + boxes[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2
    centre = (shift**2).sum(dim=1) / squares.sum(dim=1)
    return overlap, centre + ((size - truth_size) ** 2 / squares).sum(dim=1)


def inside_any(points: Tensor, boxes: Tensor) -> Tensor:
    """Say which grid points lie in any of the boxes: bool, (N,)."""
    middles = (points[:, :2] + 0.5) * points[:, 2:3]
    return ((middles[:, None] >= boxes[None, :, :2]) & (middles[:, None] <= boxes[None, :, 2:])).all(dim=2).any(dim=1)
