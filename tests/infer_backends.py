"""Backends of one's own, as ``package.module:callable``: OpenVINO that fails in a chosen way on a chosen picture."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace

import numpy as np

from common.models.manifest import ModelVersion, bundled
from tests.infer_site import POISON_BGR
from workers.backends.backend import Backend, BackendOptions, Pixels, Scores
from workers.backends.openvino_backend import OpenVinoBackend


def _poisonous(canvases: Pixels) -> bool:
    middle = canvases[:, 50:100, 50:100].reshape(len(canvases), -1, 3).mean(axis=1)
    return bool((np.abs(middle - np.array(POISON_BGR)) < 12).all(axis=1).any()) if len(canvases) else False


class Killing(OpenVinoBackend):
    """Kills its process on the marked picture."""

    def detect(self, canvases: Pixels) -> Scores:
        if _poisonous(canvases):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(canvases)


class Raising(OpenVinoBackend):
    """Raises on the marked picture."""

    def detect(self, canvases: Pixels) -> Scores:
        if _poisonous(canvases):
            raise RuntimeError("the device does not like this picture")
        return super().detect(canvases)


class Hanging(OpenVinoBackend):
    """Never comes back from the marked picture."""

    def detect(self, canvases: Pixels) -> Scores:
        if _poisonous(canvases):
            threading.Event().wait(600)
        return super().detect(canvases)


class Slow(OpenVinoBackend):
    """Takes 60 ms for each picture, once frames come."""

    warm = False

    def warm_up(self, _canvases: object, _batch: int) -> None:
        self.warm = True

    def detect(self, canvases: Pixels) -> Scores:
        if self.warm:
            threading.Event().wait(0.06 * len(canvases))
        return super().detect(canvases)


class Broken(OpenVinoBackend):
    """Answers its probe and then nothing more."""

    asked = 0

    def warm_up(self, _canvases: object, _batch: int) -> None:
        """Nothing to warm."""

    def detect(self, canvases: Pixels) -> Scores:
        self.asked += 1
        if self.asked > 1:
            raise RuntimeError("the device is gone")
        return super().detect(canvases)


def killing(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> Killing:
    return Killing(detector, classifier, options)


class VerySlow(Slow):
    """Takes 2 s for each batch, once frames come."""

    def detect(self, canvases: Pixels) -> Scores:
        if self.warm:
            threading.Event().wait(2)
        return OpenVinoBackend.detect(self, canvases)


def killing_on_candidates(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> OpenVinoBackend:
    """Kills the process that opens anything but the bundled detector."""
    if detector.directory != bundled("detector"):
        os.kill(os.getpid(), signal.SIGKILL)
    return OpenVinoBackend(detector, classifier, options)


def on_device(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> Backend:
    """Works on the CPU as torch does on a GPU: fixed batches, and pictures that stay where they were decoded."""
    from workers.backends.torch_backend import kept_on_device

    return kept_on_device(detector, classifier, replace(options, device="cpu"))
