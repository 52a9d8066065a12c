"""A backend whose work is waiting: it takes a fixed time a picture and next to no processor time, and sees nobody.

With it, many workers fit on few cores, so that what a bench shows is the broker and not the cores. It knows the answers
to the probes by heart, so that a worker takes it; nothing that it says of any other picture means anything.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from common.models.decode import COLUMNS, grid
from common.models.manifest import ModelVersion
from common.models.probe import Probe
from workers.backends.backend import BackendOptions, Pixels, Scores

WAIT_S = 0.2


class Waiting:
    """Answers its probes, and from `warm_up` on waits `WAIT_S` for each picture."""

    name = "waiting"
    reduced = False

    def __init__(self, detector: ModelVersion, classifier: ModelVersion) -> None:
        self._probes = detector.manifest.probe, classifier.manifest.probe
        self._warm = False

    def warm_up(self, _canvases: Sequence[tuple[int, int]], _batch: int) -> None:
        """Begin to wait."""
        self._warm = True

    def detect(self, canvases: Pixels) -> Scores:
        """Find nothing."""
        count, height, width, _ = canvases.shape
        found = np.zeros((count, len(grid((width, height))), COLUMNS), np.float32)
        if not self._warm:
            return _recited(self._probes[0], found)
        threading.Event().wait(WAIT_S * count)
        return found

    def classify(self, crops: Pixels) -> Scores:
        """Say what the probe wants to hear; nobody else asks."""
        return _recited(self._probes[1], np.zeros((len(crops), 3), np.float32))

    def close(self) -> None:
        """Nothing to give back."""


def _recited(probe: Probe, answer: Scores) -> Scores:
    rows = answer.reshape(-1, answer.shape[-1])
    expected = np.asarray(probe.expected, np.float32)
    if len(rows[:: probe.every]) == len(expected):
        rows[:: probe.every] = expected
    return answer


def waiting(detector: ModelVersion, classifier: ModelVersion, _options: BackendOptions) -> Waiting:
    """Open it; a factory as ``MASKWATCH_INFER_BACKEND`` names one."""
    return Waiting(detector, classifier)
