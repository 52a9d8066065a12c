"""A backend whose speed is chosen, for faults that are about time."""

from __future__ import annotations

import threading

from tests.infer_backends import Meeting
from workers.backends.backend import Pixels

EACH_S = 0.85
"""Ten times what two cameras at six frames a second leave for a frame."""


class Slow(Meeting):
    """Takes 0.85 s for each picture, once frames come."""

    def meet(self, canvases: Pixels) -> None:
        if self.warm:
            threading.Event().wait(EACH_S * len(canvases))
