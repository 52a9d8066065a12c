"""Find faces in training pictures with a detector, the way production finds them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from common.images import Picture
from common.models.decode import Detections, decode
from common.models.preprocess import letterbox


class FaceFinder:
    """Runs the detector's torch graph on one picture after another. Not thread-safe."""

    def __init__(self, graph: nn.Module, *, min_score: float = 0.5, max_iou: float = 0.3) -> None:
        """Take a ``DetectorGraph``; faces below ``min_score`` are not reported."""
        self.graph = graph.eval()
        self.device = next(graph.parameters()).device
        self.min_score = min_score
        self.max_iou = max_iou

    def find(self, picture: Picture, long_side: int = 640) -> Detections:
        """Find the faces of a picture scaled to a long side (at most doubled).

        Args:
            picture: uint8, (H, W, 3), BGR.
            long_side: Long side of the canvas, px, a multiple of 32.

        Returns:
            Faces in px of the picture, best first.
        """
        height, width = picture.shape[:2]
        short = -(-round(min(height, width) * min(2.0, long_side / max(height, width))) // 32) * 32
        canvas = (long_side, max(short, 32)) if width >= height else (max(short, 32), long_side)
        pixels, fit = letterbox(picture, canvas)
        with torch.inference_mode():
            raw = self.graph(torch.from_numpy(pixels[None]).to(self.device)).float().cpu().numpy()
        found = decode(raw, canvas, self.min_score, self.max_iou)[0]
        landmarks = fit.to_picture(found.landmarks.reshape(-1, 10)).reshape(-1, 5, 2)
        return Detections(fit.to_picture(found.boxes), np.asarray(found.scores, np.float32), landmarks)
