"""The torch backend: CUDA in half precision, and the CPU in single precision for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import BackendError
from common.models.manifest import ModelVersion
from workers.backends.backend import (
    BackendOptions,
    Pixels,
    Scores,
    check_canvases,
    check_crops,
    no_detections,
)

try:
    import torch

    from common.models.torch_load import load_graph
except ImportError as error:
    raise BackendError(f"backend torch: {error}; install maskwatch[gpu], or use backend openvino") from error

DETECT_PIECE, CLASSIFY_PIECE = 64, 512
"""Most canvases and crops that go to the device at once, which bounds its memory."""


def cuda_works() -> bool:
    """Say whether torch sees a CUDA device."""
    return bool(torch.cuda.is_available())


class TorchBackend:
    """Computes with torch from a version's safetensors.

    Raises:
        BackendError: The device is not there.
        ModelError: The weights are not what the manifest promises.
    """

    def __init__(self, detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> None:
        self._device = _device(options.device)
        self.reduced = self._device.type == "cuda"
        self.name = f"torch-{self._device.type}" + ("-fp16" if self.reduced else "")
        if options.threads:
            torch.set_num_threads(options.threads)
        self._side = classifier.classifier_input.side
        precision = torch.float16 if self.reduced else torch.float32
        self._detector = self._placed(detector, precision)
        self._classifier = self._placed(classifier, precision)

    def detect(self, canvases: Pixels) -> Scores:
        """Run the detector; see `Backend.detect`."""
        check_canvases(canvases)
        if not len(canvases):
            return no_detections(canvases)
        return self._run(self._detector, canvases, DETECT_PIECE)

    def classify(self, crops: Pixels) -> Scores:
        """Run the classifier; see `Backend.classify`."""
        check_crops(crops, self._side)
        if not len(crops):
            return np.empty((0, 3), np.float32)
        return self._run(self._classifier, crops, CLASSIFY_PIECE)

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Run each canvas once alone and once at the batch size, so that kernels are chosen before frames wait."""
        for width, height in canvases:
            for size in sorted({1, batch}):
                self.detect(np.zeros((size, height, width, 3), np.uint8))
        self.classify(np.zeros((max(1, batch), self._side, self._side, 3), np.uint8))

    def close(self) -> None:
        """Let the networks go and give the device's memory back."""
        self._detector = self._classifier = torch.nn.Identity()
        if self.reduced:
            torch.cuda.empty_cache()

    def _placed(self, version: ModelVersion, precision: torch.dtype) -> torch.nn.Module:
        graph: torch.nn.Module = load_graph(version)
        graph.to(self._device, precision)
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return graph.eval()

    def _run(self, network: torch.nn.Module, pixels: Pixels, piece: int) -> Scores:
        answers = []
        with torch.inference_mode():
            for start in range(0, len(pixels), piece):
                part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + piece]))
                answers.append(network(part.to(self._device)).float().cpu().numpy())
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if cuda_works() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"device {name!r} is not known to torch; use auto, cpu or cuda") from error
    if device.type == "cuda" and not cuda_works():
        raise BackendError(
            "device cuda: torch sees no CUDA device here; install a driver and maskwatch[gpu], or use device cpu"
        )
    return device
