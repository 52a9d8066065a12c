"""A classifier version as workers serve it: its graphs in OpenVINO, for verdicts and for the time they take."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.models.manifest import ModelVersion
from trainer.faces.augment import CropPlan
from trainer.faces.cuts import PATCH_MARGIN, FaceSet
from trainer.learning.classifier import crops_of

BATCH = 32
TIMED_BATCH = 16
TIMED_ROUNDS = 15


class ServedClassifier:
    """Answers for cut faces in float32.

    Args:
        version: Verified.
        threads: CPU threads.
        first: The version whose small network is asked first, if it has one; None asks the classifier alone.

    Raises:
        BlobMismatchError: A file changed since the version was verified.
    """

    def __init__(self, version: ModelVersion, threads: int, first: ModelVersion | None = None) -> None:
        import openvino

        runtime = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        self._compiled = runtime.compile_model(runtime.read_model(version.read("onnx")), "CPU", settings)
        self._small, self._sure = None, 0.0
        if first is not None and first.manifest.quick is not None:
            self._small = runtime.compile_model(runtime.read_model(first.read("quick")), "CPU", settings)
            self._sure = first.manifest.quick.sure
        self.plan = CropPlan(version.classifier_input.side, version.classifier_input.margin, PATCH_MARGIN)

    def judge(self, faces: FaceSet) -> NDArray[np.float32]:
        """Give float32, (M, 3), calibrated probabilities."""
        crops = crops_of(faces, self.plan)
        answers = [np.zeros((0, 3), np.float32)]
        for start in range(0, len(crops), BATCH):
            part = crops[start : start + BATCH]
            answer = self._ask(part)
            if self._small is not None:
                quick = _answer(self._small, part)
                answer = np.where(quick.max(axis=1, keepdims=True) >= self._sure, quick, answer)
            answers.append(answer)
        return np.concatenate(answers)

    def time_once(self) -> float:
        """Say how long the classifier itself takes for one batch now, s."""
        crops = np.full((TIMED_BATCH, self.plan.side, self.plan.side, 3), 127, np.uint8)
        started = time.perf_counter()
        self._ask(crops)
        return time.perf_counter() - started

    def _ask(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _answer(self._compiled, crops)


def _answer(network: Any, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.array(next(iter(network(crops).values())), np.float32)


def latency_ratio(current: ServedClassifier, candidate: ServedClassifier) -> float:
    """Say how much longer the candidate takes for a batch; in turns, so that a busy machine slows both."""
    pairs = [(current.time_once(), candidate.time_once()) for _ in range(TIMED_ROUNDS)]
    return median(after / before for before, after in pairs[2:])
