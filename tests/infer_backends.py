"""Backends of one's own, as ``package.module:callable``: OpenVINO that fails in a chosen way on a chosen picture."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.models.manifest import ModelVersion, bundled
from tests.infer_site import POISON_BGR
from workers.backends.backend import Backend, BackendOptions, Pixels, Scores
from workers.backends.openvino_backend import OpenVinoBackend
from workers.infer.vision.patches import PATCH_PX


def _poisonous(canvases: Pixels) -> bool:
    middle = canvases[:, 50:100, 50:100].reshape(len(canvases), -1, 3).mean(axis=1)
    return bool((np.abs(middle - np.array(POISON_BGR)) < 12).all(axis=1).any()) if len(canvases) else False


class Meeting(OpenVinoBackend):
    """Meets every picture before it is looked at, as a whole or at a glance; patches are parts of pictures met."""

    warm = False
    """Whether frames come."""

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        super().warm_up(canvases, batch)
        self.warm = True

    def meet(self, canvases: Pixels) -> None:
        raise NotImplementedError

    def glance(self, canvases: Pixels) -> Scores:
        self.meet(canvases)
        return super().glance(canvases)

    def detect(self, canvases: Pixels) -> Scores:
        if canvases.shape[1:3] != (PATCH_PX, PATCH_PX):
            self.meet(canvases)
        return super().detect(canvases)


class Killing(Meeting):
    """Kills its process on the marked picture."""

    def meet(self, canvases: Pixels) -> None:
        if _poisonous(canvases):
            os.kill(os.getpid(), signal.SIGKILL)


class Raising(Meeting):
    """Raises on the marked picture."""

    def meet(self, canvases: Pixels) -> None:
        if _poisonous(canvases):
            raise RuntimeError("the device does not like this picture")


class Hanging(Meeting):
    """Never comes back from the marked picture."""

    def meet(self, canvases: Pixels) -> None:
        if _poisonous(canvases):
            threading.Event().wait(600)


class Slow(Meeting):
    """Takes 60 ms for each picture, once frames come."""

    def meet(self, canvases: Pixels) -> None:
        if self.warm:
            threading.Event().wait(0.06 * len(canvases))


class Broken(Meeting):
    """Answers its probes and then nothing more."""

    def meet(self, _canvases: Pixels) -> None:
        if self.warm:
            raise RuntimeError("the device is gone")


def killing(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> Killing:
    return Killing(detector, classifier, options)


class VerySlow(Slow):
    """Takes 2 s for each batch, once frames come."""

    def meet(self, _canvases: Pixels) -> None:
        if self.warm:
            threading.Event().wait(2)


def killing_on_candidates(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> OpenVinoBackend:
    """Kills the process that opens anything but the bundled detector."""
    if detector.directory != bundled("detector"):
        os.kill(os.getpid(), signal.SIGKILL)
    return OpenVinoBackend(detector, classifier, options)


def on_device(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> Backend:
    """Works on the CPU as torch does on a GPU: fixed batches, and pictures that stay where they were decoded."""
    from workers.backends.torch_backend import kept_on_device

    return kept_on_device(detector, classifier, replace(options, device="cpu"))
