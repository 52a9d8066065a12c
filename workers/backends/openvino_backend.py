"""The CPU backend: OpenVINO on a version's ONNX. Nothing here loads torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
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
from workers.backends.compiled import CompiledCache
from workers.backends.openvino_graph import REWRITES, simplify

# Measured (ADR 50): canvases one by one are as fast as four at once, and each size of batch keeps activations of its
# own. Crops are fastest from 8 on. A network compiled for a free batch size takes a tenth (detector) to a half
# (classifier) longer.
DETECT_PIECES = (1,)
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
        self._cache = CompiledCache(options.cache_dir, self._machine())

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

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:  # noqa: ARG002 - pieces are fixed
        """Compile and run every shape that batches of any size can need."""
        for width, height in canvases:
            for piece in DETECT_PIECES:
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
        key = f"{self._versions[kind].manifest.blobs['onnx'].sha256} {shape}"
        kept = self._cache.get(key)
        if kept is not None:
            try:
                return self._core.import_model(BytesIO(kept), "CPU", self._settings)
            except RuntimeError:
                pass  # made by a library that calls itself the same and is another
        try:
            network = self._core.compile_model(self._read(kind, shape), "CPU", self._settings)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ManifestError(f"{self._versions[kind].onnx_path}: OpenVINO cannot use it: {first}") from error
        self._cache.put(key, _exported(network))
        return network

    def _read(self, kind: str, shape: tuple[int, ...]) -> Any:
        model = self._core.read_model(BytesIO(self._blobs[kind]))
        for node in model.get_ops():
            # A rectifier may turn a NaN into 0, so that an answer that is finite proves nothing.
            if node.get_type_name() == "Constant" and not _finite(node):
                raise ManifestError(f"{self._versions[kind].onnx_path}: {node.get_friendly_name()} is not finite")
        model.reshape(list(shape))
        simplify(model)
        return model

    def _machine(self) -> str:
        settings = json.dumps(self._settings, sort_keys=True)
        processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        return "\n".join((openvino.__version__, processor, settings, REWRITES))


def _finite(constant: Any) -> bool:
    if not constant.get_element_type().is_real():
        return True
    values = constant.get_data(dtype=np.float32)
    # A lone infinity may be a bound of a clip; among weights it is damage.
    return bool(np.isfinite(values).all()) or (values.size == 1 and not np.isnan(values).any())


def _exported(network: Any) -> bytes:
    stream = BytesIO()
    network.export_model(stream)
    return stream.getvalue()


def _settings(options: BackendOptions, reduced: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if reduced else "f32",
        # Pinned threads of several workers on one machine would all sit on the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    return settings
