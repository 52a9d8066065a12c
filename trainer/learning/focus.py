"""The task of the focus head: where on a canvas seen at half its size do faces lie that a second look may settle?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from common.errors import TrainingError
from common.images import scale
from common.models.focus import FocusHead, glance_at
from common.models.yunet import YuNet
from trainer.data.pictures import Scene, Skips
from trainer.data.second_look import read_second_look
from trainer.learning.canvases import Canvas, Example, make_canvas
from trainer.learning.detector import as_planes, store
from trainer.learning.prefetch import Batch, prefetch
from trainer.settings import FocusSettings

CELL_PX = 16
"""A cell of the focus map on the whole canvas, px: stride 8 at half its size."""
POINTED_PX = ((7.0, 40.0), (40.0, 88.0))
"""Longer side, px of the canvas, of the faces that each map is to point out; larger ones a glance sees by itself."""
LOOKED_AT = 0.16
"""Cells above are looked at."""
BACKGROUND = 0.5
VAL_CANVASES = 160
UNKNOWN = -1.0


class FocusTask:
    """Learns where faces of `POINTED_PX` are, a map for each range, from features of a detector that stays as it is.

    Args:
        head: The head to teach; moved to ``device``.
        detector: The one that glances; gives the features.
        scenes: Training and validation pictures.
        settings: The run.
        device: Where to compute.
        skips: Takes note of pictures that cannot be read.
    """

    watched = ("val_loss", False)

    def __init__(
        self,
        head: FocusHead,
        detector: YuNet,
        scenes: list[Scene],
        settings: FocusSettings,
        skips: Skips,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - a device is a plain value
    ) -> None:
        self.network: nn.Module = head.to(device)
        self.detector = detector.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.device = settings, device
        looks = read_second_look(settings.second_look) if settings.second_look else {}
        self.pictures = store([scene for scene in scenes if scene.split == "train"], skips, looks)
        if not self.pictures:
            raise TrainingError("no training picture is left; look at the list of skipped pictures")
        val = store([scene for scene in scenes if scene.split == "val"], skips)
        random = np.random.default_rng(0)
        self.val = [_drawn(val, settings, random) for _ in range(VAL_CANVASES if val else 0)]

    def steps(self) -> int:
        """Give the number of steps of an epoch."""
        return max(1, len(self.pictures) // self.settings.schedule.batch)

    def trainable(self, epoch: int) -> tuple[bool, float]:
        """The head learns all the time."""
        del epoch
        return True, 1.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give batches: uint8 (B, S/2, S/2, 3) BGR, and float (B, 2, S/16, S/16): 1 face, 0 none, -1 unknown."""
        return prefetch(self._make(epoch))

    def _make(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.schedule.seed, epoch))
        for _ in range(self.steps()):
            canvases = [_drawn(self.pictures, self.settings, random) for _ in range(self.settings.schedule.batch)]
            yield _batch(canvases)

    def loss(self, batch: Batch) -> Tensor:
        """Focal loss (Lin et al., 2017) a face, the many cells without one at half their weight."""
        targets = batch[1].to(self.device)
        return focal_loss(self._logits(batch[0]), targets)

    def evaluate(self) -> dict[str, float]:
        """Score on canvases of validation pictures: loss, share of small faces pointed out, share of cells above."""
        if not self.val:
            return {}
        self.network.eval()
        losses, found, wanted, above, cells = 0.0, 0, 0, 0, 0
        for start in range(0, len(self.val), 16):
            canvases = self.val[start : start + 16]
            pixels, targets = _batch(canvases)
            with torch.no_grad():
                logits = self._logits(pixels).cpu()
            losses += focal_loss(logits, targets).item() * len(canvases)
            chances = torch.sigmoid(logits).numpy()
            above, cells = above + int((chances >= LOOKED_AT).any(axis=1).sum()), cells + chances[:, 0].size
            for canvas, chance in zip(canvases, chances[:, 0], strict=True):
                best = best_near(canvas, chance)
                found, wanted = found + int((best >= LOOKED_AT).sum()), wanted + len(best)
        return {
            "val_loss": losses / len(self.val),
            "recall_small": found / max(1, wanted),
            "looked_at": above / max(1, cells),
        }

    def _logits(self, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            _, *features = glance_at(self.detector, as_planes(pixels.to(self.device)))
        logits: Tensor = self.network(torch.cat(features, dim=1))
        return logits


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Weigh cross entropy by how wrong an answer is.

    Args:
        logits: float, (B, maps, h, w).
        targets: float, (B, maps, h, w): 1 face, 0 none, -1 unknown.

    Returns:
        The sum over all cells for each face, a scalar.
    """
    known, face = targets >= 0, targets > 0
    chance = torch.sigmoid(logits).detach()
    weight = torch.where(face, (1 - chance) ** 2, BACKGROUND * chance**2) * known
    entropy = functional.binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none")
    return (weight * entropy).sum() / face.sum().clamp(min=1)


def focus_target(canvas: Canvas) -> NDArray[np.float32]:
    """Say of every cell whether a face lies in it that is to be pointed out.

    Returns:
        float32, (2, S/16, S/16): 1 in the middle of a map's faces, -1 around and where other or cut ones are, else 0.
    """
    return np.stack([_target(canvas, low, high) for low, high in POINTED_PX])


def _target(canvas: Canvas, low: float, high: float) -> NDArray[np.float32]:
    count = canvas.pixels.shape[0] // CELL_PX
    target = np.zeros((count, count), np.float32)
    middles = (np.arange(count, dtype=np.float32) + 0.5) * CELL_PX
    columns, rows = middles[None, :], middles[:, None]
    for x1, y1, x2, y2 in canvas.ignored:
        target[_covered(columns, rows, (x1, y1, x2, y2))] = UNKNOWN
    for x1, y1, x2, y2 in canvas.boxes:
        around = _covered(columns, rows, (x1, y1, x2, y2)) & (target < 1)
        target[around] = UNKNOWN
        if low <= max(x2 - x1, y2 - y1) <= high:
            reach = CELL_PX / 2
            target[(abs(columns - (x1 + x2) / 2) <= reach) & (abs(rows - (y1 + y2) / 2) <= reach)] = 1
    return target


def best_near(canvas: Canvas, chance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the highest chance in the cells around the middle of every small face, float32 (K,)."""
    longer = (canvas.boxes[:, 2:] - canvas.boxes[:, :2]).max(axis=1, initial=0)
    low, high = POINTED_PX[0]
    small = canvas.boxes[(longer >= low) & (longer <= high)]
    best = []
    for column, row in (((small[:, :2] + small[:, 2:]) / 2 / CELL_PX).astype(int)).tolist():
        best.append(chance[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max())
    return np.array(best, np.float32)


def _covered(
    columns: NDArray[np.floating], rows: NDArray[np.floating], box: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = box
    reach = CELL_PX / 2
    inside: NDArray[np.bool_] = (
        (columns > x1 - reach) & (columns < x2 + reach) & (rows > y1 - reach) & (rows < y2 + reach)
    )
    return inside


def _drawn(pictures: list[Example], settings: FocusSettings, random: np.random.Generator) -> Canvas:
    four = [pictures[int(index)] for index in random.integers(len(pictures), size=4)]
    return make_canvas(four, settings.side, settings.mosaic, random)


def _batch(canvases: list[Canvas]) -> tuple[Tensor, Tensor]:
    side = canvases[0].pixels.shape[0] // 2
    pixels = np.stack([scale(canvas.pixels, (side, side)) for canvas in canvases])
    return torch.from_numpy(pixels), torch.from_numpy(np.stack([focus_target(canvas) for canvas in canvases]))
