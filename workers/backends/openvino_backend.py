"""The CPU backend: OpenVINO on a version's ONNX. Nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from common.errors import BackendError, ManifestError
from common.models.manifest import ModelVersion
from workers.backends.backend import (
    BackendOptions,
    Pixels,
    Scores,
    check_canvases,
    check_crops,
    no_detections,
)

# Measured on two cores: a fixed batch of 4 canvases or 16 crops is as fast a picture or face as any larger one, and a
# network compiled for a free batch size takes a tenth (detector) to a half (classifier) longer.
DETECT_PIECES = (4, 1)
CLASSIFY_PIECES = (16, 4, 1)


class OpenVinoBackend:
    """Computes on the CPU, in bfloat16 where the processor has it; compiles once for each shape, when first needed.

    Raises:
        BackendError: OpenVINO cannot compute on this CPU, or another device was asked for.
        ManifestError: A blob is no network that OpenVINO reads.
        BlobMismatchError: A blob changed since it was verified.
    """

    def __init__(self, detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> None:
        if options.device not in ("auto", "cpu"):
            raise BackendError(f"backend openvino computes on the CPU; device {options.device!r} needs backend torch")
        self._core = openvino.Core()
        self.reduced = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.name = "openvino-cpu-bf16" if self.reduced else "openvino-cpu"
        self._side = classifier.classifier_input.side
        self._settings = _settings(options, self.reduced)
        self._versions = {"detector": detector, "classifier": classifier}
        self._blobs = {kind: version.read("onnx") for kind, version in self._versions.items()}
        self._compiled: dict[tuple[str, tuple[int, ...]], Any] = {}

    def detect(self, canvases: Pixels) -> Scores:
        """Run the detector; see `Backend.detect`."""
        check_canvases(canvases)
        if not len(canvases):
            return no_detections(canvases)
        return self._run("detector", canvases, DETECT_PIECES)

    def classify(self, crops: Pixels) -> Scores:
        """Run the classifier; see `Backend.classify`."""
        check_crops(crops, self._side)
        if not len(crops):
            return np.empty((0, 3), np.float32)
        return self._run("classifier", crops, CLASSIFY_PIECES)

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Compile and run every shape that batches of up to ``batch`` pictures can need."""
        for width, height in canvases:
            for piece in DETECT_PIECES:
                if piece <= batch:
                    self.detect(np.zeros((piece, height, width, 3), np.uint8))
        for piece in CLASSIFY_PIECES:
            self.classify(np.zeros((piece, self._side, self._side, 3), np.uint8))

    def close(self) -> None:
        """Let the compiled networks go."""
        self._compiled.clear()

    def _run(self, kind: str, pixels: Pixels, pieces: Sequence[int]) -> Scores:
        answers = []
        start = 0
        while start < len(pixels):
            piece = next(size for size in pieces if size <= len(pixels) - start)
            part = np.ascontiguousarray(pixels[start : start + piece])
            # The request's own output buffer is reused by the next call, hence the copy.
            answers.append(np.array(self._network(kind, part.shape)(part)[0], np.float32))
            start += piece
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def _network(self, kind: str, shape: tuple[int, ...]) -> Any:
        network = self._compiled.get((kind, shape))
        if network is None:
            network = self._compile(kind, shape)
            self._compiled[kind, shape] = network
        return network

    def _compile(self, kind: str, shape: tuple[int, ...]) -> Any:
        try:
            model = self._core.read_model(BytesIO(self._blobs[kind]))
            model.reshape(list(shape))
            return self._core.compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ManifestError(f"{self._versions[kind].onnx_path}: OpenVINO cannot use it: {first}") from error


def _settings(options: BackendOptions, reduced: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if reduced else "f32",
        # Pinned threads of several workers on one machine would all sit on the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    if options.cache_dir is not None and _writable(options.cache_dir):
        settings["CACHE_DIR"] = str(options.cache_dir)
    return settings


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True
