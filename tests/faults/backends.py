"""A backend whose speed is chosen, for faults that are about time."""

from __future__ import annotations

import threading

from workers.backends.backend import Pixels, Scores
from workers.backends.openvino_backend import OpenVinoBackend

EACH_S = 0.85
"""Ten times what two cameras at six frames a second leave for a frame."""


class Slow(OpenVinoBackend):
    """Takes 0.85 s for each picture, once frames come."""

    warm = False

    def warm_up(self, _canvases: object, _batch: int) -> None:
        self.warm = True

    def detect(self, canvases: Pixels) -> Scores:
        if self.warm:
            threading.Event().wait(EACH_S * len(canvases))
        return super().detect(canvases)
