"""The CPU backend: OpenVINO on a version's ONNX. Nothing here loads torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from common.errors import BackendError, ManifestError
from common.models.manifest import BlobName, ModelVersion
from workers.backends.backend import (
    BackendOptions,
    Pixels,
    Scores,
    check_canvases,
    check_crops,
    no_detections,
)
from workers.backends.compiled import CompiledCache
from workers.backends.openvino_answers import PLANES
from workers.backends.openvino_eight_bits import compute_in_eight_bits, multiplier, ranges_of
from workers.backends.openvino_graph import REWRITES, simplify

# Measured (ADR 50, 53): large canvases one by one are as fast as four at once, and each size of batch keeps activations
# of its own; small ones gain a quarter. Crops are fastest from 8 on. A network compiled for a free batch size takes a
# tenth (detector) to a half (classifier) longer.
DETECT_PIECES, DETECT_PIECES_SMALL = (1,), (4, 1)
SMALL_CANVAS_PX2 = 320 * 192
CLASSIFY_PIECES, CLASSIFY_PIECES_LEFT = (16, 4, 1), (8, 4, 1)
"""The second where a small network is asked first: what it leaves is seldom many, and 16 at once keep 30 MB."""
LEAST_FULL = 0.75
"""From this share on, crops are filled up to a piece: 12 by fours cost more than 16 at once. Canvases are not."""
Network = Callable[[Pixels], Scores]


class OpenVinoBackend:
    """Computes on the CPU, in bfloat16 and 8 bits where these are faster; compiles once for each shape, when needed.

    Raises:
        BackendError: OpenVINO cannot compute on this CPU, or another device was asked for.
        ManifestError: A blob is no network that OpenVINO reads.
        BlobMismatchError: A blob changed since it was verified.
    """

    def __init__(self, detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> None:
        if options.device not in ("auto", "cpu"):
            raise BackendError(f"backend openvino computes on the CPU; device {options.device!r} needs backend torch")
        self._core = openvino.Core()
        self._half = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._multiplier = multiplier()
        self._eight_bits = options.eight_bits == "on" or (options.eight_bits == "auto" and self._multiplier.gains)
        self.reduced = self._half or self._eight_bits
        self.name = "openvino-cpu" + "-bf16" * self._half + "-int8" * self._eight_bits
        self._side = classifier.classifier_input.side
        self._settings = _settings(options, self._half)
        self._sources = {"detector": Source.of(detector, "onnx"), "classifier": Source.of(classifier, "onnx")}
        if detector.manifest.glance is not None:
            self._sources["glance"] = Source.of(detector, "glance")
        self._classify_pieces: tuple[int, ...] = CLASSIFY_PIECES
        if classifier.manifest.quick is not None:
            self._sources["quick"] = Source.of(classifier, "quick")
            self._classify_pieces = CLASSIFY_PIECES_LEFT
        self._requests: dict[tuple[str, tuple[int, ...]], tuple[Any, bool]] = {}
        self._load_late = options.load_late
        self._cache = CompiledCache(options.cache_dir, self._machine())

    def detect(self, canvases: Pixels) -> Scores:
        """Run the detector; see `Backend.detect`."""
        check_canvases(canvases)
        if not len(canvases):
            return no_detections(canvases)
        return self._run("detector", canvases, _pieces(canvases.shape[2], canvases.shape[1]))

    def glance(self, canvases: Pixels) -> Scores:
        """Run the detector at a glance; see `Glancing.glance`."""
        check_canvases(canvases)
        return self._run("glance", canvases, _pieces(canvases.shape[2], canvases.shape[1]))

    def classify(self, crops: Pixels) -> Scores:
        """Run the classifier; see `Backend.classify`."""
        check_crops(crops, self._side)
        if not len(crops):
            return np.empty((0, 3), np.float32)
        return self._run("classifier", crops, self._classify_pieces, LEAST_FULL)

    def classify_quick(self, crops: Pixels) -> Scores:
        """Run the small network; see `Quick.classify_quick`."""
        check_crops(crops, self._side)
        return self._run("quick", crops, CLASSIFY_PIECES, LEAST_FULL)

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:  # noqa: ARG002 - pieces are fixed
        """Compile and run every shape that batches of any size can need; see `BackendOptions.load_late`."""
        for width, height in canvases:
            self._prepare("detector", self.detect, (height, width), _pieces(width, height))
        self._prepare("classifier", self.classify, (self._side, self._side), self._classify_pieces)

    def warm_up_glance(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:  # noqa: ARG002
        """Compile and run every shape that glances of any number can need; see `Glancing.warm_up_glance`."""
        for width, height in canvases:
            self._prepare("glance", self.glance, (height, width), _pieces(width, height))

    def warm_up_quick(self) -> None:
        """Compile and run every shape that batches of any size can need."""
        self._prepare("quick", self.classify_quick, (self._side, self._side), CLASSIFY_PIECES)

    def close(self) -> None:
        """Let the compiled networks go."""
        self._requests.clear()

    def _prepare(self, kind: str, network: Network, size: tuple[int, int], pieces: Sequence[int]) -> None:
        for piece in pieces:
            shape = (piece, *size, 3)
            if not (self._load_late and self._cache.holds(self._key(kind, shape))):
                network(np.zeros(shape, np.uint8))

    def _run(self, kind: str, pixels: Pixels, pieces: Sequence[int], least_full: float = 1.0) -> Scores:
        answers, in_planes, start = np.empty(0, np.float32), False, 0
        while start < len(pixels):
            left = len(pixels) - start
            piece = next(size for size in pieces if size * least_full <= left)
            part = np.ascontiguousarray(pixels[start : start + piece])
            if piece > left:
                part = np.concatenate([part, np.zeros((piece - left, *part.shape[1:]), np.uint8)])
            request, in_planes = self._request(kind, part.shape)
            # By way of tensors that share memory: calling the network itself costs a twentieth of a glance more.
            request.set_input_tensor(openvino.Tensor(part, shared_memory=True))
            request.infer()
            # The request's own output buffer is reused by the next call, hence the copy.
            answer = request.get_output_tensor().data[: min(piece, left)]
            if not start:
                answers = np.empty((len(pixels), *answer.shape[1:]), np.float32)
            answers[start : start + len(answer)] = answer
            start += piece
        return answers.swapaxes(1, 2) if in_planes else answers

    def _request(self, kind: str, shape: tuple[int, ...]) -> tuple[Any, bool]:
        """Give what computes a network, and whether its answers come in planes."""
        request = self._requests.get((kind, shape))
        if request is None:
            network = self._compile(kind, shape)
            request = network.create_infer_request(), PLANES in network.output(0).get_names()
            self._requests[kind, shape] = request
        return request

    def _compile(self, kind: str, shape: tuple[int, ...]) -> Any:
        source, key = self._sources[kind], self._key(kind, shape)
        kept = self._cache.get(key)
        if kept is not None:
            try:
                return self._core.import_model(BytesIO(kept), "CPU", self._settings)
            except RuntimeError:
                pass  # made by a library that calls itself the same and is another
        try:
            network = self._core.compile_model(self._read(source, shape), "CPU", self._settings)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ManifestError(f"{source.path}: OpenVINO cannot use it: {first}") from error
        self._cache.put(key, _exported(network))
        return network

    def _key(self, kind: str, shape: tuple[int, ...]) -> str:
        return f"{self._sources[kind].sha256} {shape}"

    def _read(self, source: Source, shape: tuple[int, ...]) -> Any:
        model = self._core.read_model(BytesIO(source.data))
        for node in model.get_ops():
            # A rectifier may turn a NaN into 0, so that an answer that is finite proves nothing.
            if node.get_type_name() == "Constant" and not _finite(node):
                raise ManifestError(f"{source.path}: {node.get_friendly_name()} is not finite")
        model.reshape(list(shape))
        try:
            ranges = ranges_of(model) if self._eight_bits else {}
        except ManifestError as error:
            raise ManifestError(f"{source.path}: {error}") from error
        simplify(model, reduced=self._half and not ranges)
        compute_in_eight_bits(model, ranges, self._multiplier.largest_weight)
        return model

    def _machine(self) -> str:
        settings = json.dumps(self._settings, sort_keys=True)
        processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        eight_bits = f"int8 {self._multiplier.largest_weight}" if self._eight_bits else ""
        return "\n".join((openvino.__version__, processor, settings, REWRITES, eight_bits))


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of one network of a version.

    Attributes:
        data: An ONNX file.
        sha256: Of it, lower-case hexadecimal.
        path: Where it came from, for messages.
    """

    data: bytes
    sha256: str
    path: Path

    @classmethod
    def of(cls, version: ModelVersion, name: BlobName) -> Source:
        """Read a blob of a version.

        Raises:
            BlobMismatchError: It is not what the version promises.
        """
        blob = version.manifest.blobs[name]
        return cls(version.read(name), blob.sha256, version.directory / blob.file)


def _pieces(width: int, height: int) -> tuple[int, ...]:
    return DETECT_PIECES_SMALL if width * height <= SMALL_CANVAS_PX2 else DETECT_PIECES


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


def _settings(options: BackendOptions, half: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        # Pinned threads of several workers on one machine would all sit on the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    return settings
