"""Make training faces look as cameras show them: jittered, mirrored, small, blurred, dark, compressed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from common.geometry import FloatArray
from common.images import Picture, blur, resize, smear, through_jpeg, warp
from common.models.manifest import LABELS
from trainer.faces.drawn_masks import draw_mask

NO_MASK = LABELS.index("no_mask")
CLEAN = 0.25  # share of crops that no camera spoils
FRAMED = 0.15


@dataclass(frozen=True, slots=True)
class CropPlan:
    """How crops are cut from patches.

    Attributes:
        side: Side of the crop, px.
        margin: Share of the box's longer side around it.
        patch_margin: The same for the patch it is cut from.
        drawn_masks: Share of bare faces that get a mask drawn on.
        augment: camera (degraded as cameras do), simple (turned, shifted, zoomed, mirrored) or none.
    """

    side: int
    margin: float
    patch_margin: float
    drawn_masks: float = 0.0
    augment: str = "camera"


def plain_crop(patch: Picture, plan: CropPlan) -> Picture:
    """Cut the crop that production would cut: no jitter. uint8, (side, side, 3), BGR."""
    inner = patch.shape[0] * (1 + 2 * plan.margin) / (1 + 2 * plan.patch_margin)
    start = round((patch.shape[0] - inner) / 2)
    length = round(inner)
    return resize(np.ascontiguousarray(patch[start : start + length, start : start + length]), (plan.side, plan.side))


def training_crop(
    patch: Picture, label: int, landmarks: FloatArray, plan: CropPlan, random: np.random.Generator
) -> tuple[Picture, int]:
    """Make one training example of a patch; drawing a mask on may change its label.

    Args:
        patch: uint8, (P, P, 3), BGR; not changed.
        label: Index into the label order.
        landmarks: float32, (5, 2), x y in patch px, or NaN.
        plan: How to cut.
        random: Source of chance.

    Returns:
        uint8, (side, side, 3), BGR, and the label.
    """
    if label == NO_MASK and np.isfinite(landmarks).all() and random.random() < plan.drawn_masks:
        patch, label = draw_mask(patch, landmarks, random)
    if plan.augment == "none":
        return plain_crop(patch, plan), label
    if plan.augment == "camera" and random.random() < FRAMED:
        patch = framed(patch, random)
    picture = warp(patch, jitter(patch.shape[0], plan, random), (plan.side, plan.side))
    return degrade(picture, random) if plan.augment == "camera" and random.random() >= CLEAN else picture, label


def framed(patch: Picture, random: np.random.Generator) -> Picture:
    """Blacken what lies around the face, as if the picture ended there: sets of tight crops look like that."""
    side = patch.shape[0]
    quarter = side / 4  # the face's longer side is half the patch's
    left, top, right, bottom = (quarter * (1 - random.uniform(-0.1, 0.7, 4))).astype(int)
    tight = np.zeros_like(patch)
    tight[top : side - bottom, left : side - right] = patch[top : side - bottom, left : side - right]
    return tight


def jitter(patch_side: int, plan: CropPlan, random: np.random.Generator) -> FloatArray:
    """Give the matrix, float32 (2, 3), that cuts a slightly wrong, turned and perhaps mirrored crop out of a patch."""
    inner = patch_side * (1 + 2 * plan.margin) / (1 + 2 * plan.patch_margin)
    scale = plan.side / inner * math.exp(random.uniform(-0.16, 0.16))
    angle = math.radians(random.normal(0, 7) if random.random() < 0.9 else random.uniform(-30, 30))
    mirror = -1.0 if random.random() < 0.5 else 1.0
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[a * mirror, -b], [b * mirror, a]])
    middle = np.full(2, patch_side / 2)
    target = np.full(2, plan.side / 2) + random.normal(0, 0.045, 2) * plan.side
    return np.concatenate([turn, (target - turn @ middle)[:, None]], axis=1).astype(np.float32)


def degrade(picture: Picture, random: np.random.Generator) -> Picture:
    """Light, distance, focus, motion and compression of a real camera, each some of the time."""
    if random.random() < 0.6:
        picture = relight(picture, random)
    side = picture.shape[0]
    if random.random() < 0.4:
        small = int(side * math.exp(random.uniform(math.log(0.2), math.log(0.8))))
        picture = resize(resize(picture, (small, small)), (side, side))
    if random.random() < 0.2:
        picture = blur(picture, random.uniform(0.4, 2.2))
    if random.random() < 0.12:
        picture = smear(picture, int(random.integers(3, 13)), random.uniform(0, 180))
    if random.random() < 0.15:
        noise = random.normal(0, random.uniform(2, 12), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if random.random() < 0.6:
        picture = through_jpeg(picture, int(random.integers(30, 91)))
    return picture


def relight(picture: Picture, random: np.random.Generator) -> Picture:
    """Change brightness, contrast, gamma and the tint of the light; sometimes lose the colour."""
    curve = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = math.exp(random.normal(0, 0.3))
    gain = math.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.06, 3))
    table = np.clip((curve**gamma) * gain * 255 + random.normal(0, 10), 0, 255).astype(np.uint8)
    lit = np.stack([table[:, colour][picture[..., colour]] for colour in range(3)], axis=-1)
    if random.random() < 0.08:
        lit = np.repeat(lit.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    return np.ascontiguousarray(lit)
