"""The torch backend: CUDA in half precision with recorded graphs, and the CPU in single precision for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import BackendError
from common.log import Log
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
    from torch import Tensor

    from common.models.torch_load import load_graph
    from workers.backends.torch_graphs import Batches, FixedBatches, FreeBatches, sizes_up_to
    from workers.backends.torch_lane import Lane, Pieces
except ImportError as error:
    raise BackendError(f"backend torch: {error}; install maskwatch[gpu], or use backend openvino") from error

DETECT_PIECE, CLASSIFY_PIECE = 64, 512
"""Most canvases and crops that go to the device at once, which bounds its memory."""
_log = Log("infer")


def why_no_cuda() -> str:
    """Say in a few words what CUDA lacks here; empty where it works."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    return f"torch {torch.__version__} finds no device for CUDA {torch.version.cuda}: no driver, or one too old for it"


class TorchBackend:
    """Computes with torch from a version's safetensors.

    Attributes:
        name: ``torch-cuda-fp16``, ``torch-cpu``, …
        reduced: Whether it computes in half precision.
        on_device: Whether pictures should stay on the device from the decoder on; see
            ``workers.infer.vision.devicepipeline``.
        lane: The stream that everything is computed on.

    Args:
        detector: A verified detector.
        classifier: A verified classifier.
        options: How it may use the machine.
        on_device: Whether it works as it does on a GPU, fixed batches included; None: on CUDA only.

    Raises:
        BackendError: The device is not there.
        ModelError: The weights are not what the manifest promises.
    """

    def __init__(
        self,
        detector: ModelVersion,
        classifier: ModelVersion,
        options: BackendOptions,
        on_device: bool | None = None,
    ) -> None:
        self.lane = Lane(_device(options.device))
        self.reduced = self.lane.cuda
        self.on_device = self.lane.cuda if on_device is None else on_device
        self.name = f"torch-{self.lane.device.type}" + ("-fp16" if self.reduced else "")
        if options.threads:
            torch.set_num_threads(options.threads)
        self._side = classifier.classifier_input.side
        self._detector = self._placed(detector, DETECT_PIECE)
        self._classifier = self._placed(classifier, CLASSIFY_PIECE)

    def detect(self, canvases: Pixels) -> Scores:
        """Run the detector; see `Backend.detect`."""
        check_canvases(canvases)
        return self._from_host(self._detector, canvases, DETECT_PIECE) if len(canvases) else no_detections(canvases)

    def classify(self, crops: Pixels) -> Scores:
        """Run the classifier; see `Backend.classify`."""
        check_crops(crops, self._side)
        if not len(crops):
            return np.empty((0, 3), np.float32)
        return self._from_host(self._classifier, crops, CLASSIFY_PIECE)

    def detect_there(self, canvases: Tensor) -> Tensor:
        """Run the detector on uint8 (B, H, W, 3) that lie on the device, B at least 1, within `lane`."""
        return self._detector.run(canvases).float()

    def classify_there(self, crops: Tensor) -> Tensor:
        """Run the classifier on uint8 (N, S, S, 3) that lie on the device, N at least 1, within `lane`."""
        return self._classifier.run(crops).float()

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Record the networks, or have kernels chosen, before frames wait.

        Faces are not as many as their frames: up to four times the batch is prepared, larger numbers when they come.
        """
        with self.lane.entered():
            for width, height in canvases:
                self._detector.record((height, width, 3), batch)
            self._classifier.record((self._side, self._side, 3), 4 * max(1, batch))
            self.lane.wait()

    def close(self) -> None:
        """Let the networks go and give the device's memory back."""
        self._detector = self._classifier = FreeBatches(torch.nn.Identity(), 1, self.lane)
        self.lane.free()

    def _placed(self, version: ModelVersion, most: int) -> Batches:
        graph: torch.nn.Module = load_graph(version)
        graph.to(self.lane.device, torch.float16 if self.reduced else torch.float32)
        graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        graph.eval()
        return (
            FixedBatches(graph, sizes_up_to(most), self.lane) if self.on_device else FreeBatches(graph, most, self.lane)
        )

    def _from_host(self, network: Batches, pixels: Pixels, piece: int) -> Scores:
        def answer(first: int, last: int) -> Scores:
            there = self.lane.to_device(pixels[first:last])
            answered: Scores = self.lane.to_host(network.run(there).float())
            return answered

        with self.lane.entered():
            answers = Pieces("upload", piece, self.lane.free).run(len(pixels), answer)
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _device(name: str) -> torch.device:
    missing = why_no_cuda()
    if name == "auto":
        name = "cuda" if not missing else "cpu"
        if missing:
            _log.warning("gpu_unused", because=missing)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"device {name!r} is not known to torch; use auto, cpu or cuda") from error
    if device.type == "cuda" and missing:
        raise BackendError(
            f"device cuda: torch sees no CUDA device here ({missing}); install a driver and maskwatch[gpu], or use "
            "device cpu"
        )
    return device


def kept_on_device(detector: ModelVersion, classifier: ModelVersion, options: BackendOptions) -> TorchBackend:
    """Make a backend that works as on a GPU whatever its device is; a `BackendFactory`, for tests and benches."""
    return TorchBackend(detector, classifier, options, on_device=True)
