"""What computes the two networks: the contract, and how one is chosen and proven before it serves."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from common.errors import BackendError, ProbeError
from common.log import Log
from common.models.decode import COLUMNS, grid
from common.models.manifest import ModelVersion, bundled, load_version
from common.models.probe import Probe

_DRIVER_MARKS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))
_log = Log("infer")
Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]
EightBits = Literal["auto", "on", "off"]


class Backend(Protocol):
    """Computes detector and classifier on one device. Used by one thread at a time.

    Both calls give one answer for each input, in the same order, and an empty answer to an empty batch; how a batch is
    cut up for the device is the backend's business and does not show in its answers beyond rounding.
    """

    @property
    def name(self) -> str:
        """Short name with the device, such as ``openvino-cpu``; every result carries it."""

    @property
    def reduced(self) -> bool:
        """Whether it computes in half precision or 8 bits, so that wider tolerances apply."""

    def detect(self, canvases: Pixels) -> Scores:
        """Run the detector.

        Args:
            canvases: uint8, (B, H, W, 3), BGR; H and W multiples of 32.

        Returns:
            float32, (B, N, 16), the raw output that ``common.models.decode`` reads.

        Raises:
            ValueError: Another shape or type; nothing was computed.
        """

    def classify(self, crops: Pixels) -> Scores:
        """Run the classifier.

        Args:
            crops: uint8, (N, S, S, 3), BGR, S as the classifier's manifest says.

        Returns:
            float32, (N, 3), probabilities in the order mask, no_mask, incorrect.

        Raises:
            ValueError: Another shape or type; nothing was computed.
        """

    def warm_up(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Prepare for these canvases, (width, height) px, and for batches of up to ``batch`` pictures."""

    def close(self) -> None:
        """Give memory and device back."""


@runtime_checkable
class Glancing(Protocol):
    """What a backend may offer beside: the detector at a glance, for versions that hold a graph for it."""

    def glance(self, canvases: Pixels) -> Scores:
        """Run the detector and its focus head.

        Args:
            canvases: uint8, (B, H, W, 3), BGR, B at least 1; H and W multiples of 32.

        Returns:
            float32, (B, N, 17): the raw output of `Backend.detect`, then the chance, 0..1, that a small face lies in
            the cell of each point of stride 8; 0 for the other points.

        Raises:
            ValueError: Another shape or type; nothing was computed.
        """

    def warm_up_glance(self, canvases: Sequence[tuple[int, int]], batch: int) -> None:
        """Prepare for glances at these canvases, (width, height) px, and for batches of up to ``batch``."""


@runtime_checkable
class Quick(Protocol):
    """What a backend may offer beside: a small network that is asked first, for versions that hold one."""

    def classify_quick(self, crops: Pixels) -> Scores:
        """Run the small network on the classifier's own crops; else as `Backend.classify`, but for no empty batch."""

    def warm_up_quick(self) -> None:
        """Prepare for batches of any size."""


def quick(backend: Backend, classifier: ModelVersion) -> Quick | None:
    """Give the backend as one that can be asked quickly, if it and the classifier can."""
    return backend if classifier.manifest.quick is not None and isinstance(backend, Quick) else None


def glancing(backend: Backend, detector: ModelVersion) -> Glancing | None:
    """Give the backend as one that glances, if it and the detector can."""
    return backend if detector.manifest.glance is not None and isinstance(backend, Glancing) else None


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How a backend may use the machine.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda`` (with ``:0`` and so on); OpenVINO knows ``cpu`` only.
        threads: CPU threads to compute with; 0 leaves it to the library.
        cache_dir: Where compiled networks are kept between starts; None keeps none.
        eight_bits: Whether networks with ranges compute in 8 bits; ``auto``: where the processor gains by it.
        load_late: Whether a warm-up leaves alone what is kept compiled: a start is over sooner, and the first batch
            that needs a network waits for it to be loaded, 20 to 100 ms.
    """

    device: str = "auto"
    threads: int = 0
    cache_dir: Path | None = None
    eight_bits: EightBits = "auto"
    load_late: bool = False


BackendFactory = Callable[[ModelVersion, ModelVersion, BackendOptions], Backend]
"""Makes a backend of a verified detector and a verified classifier."""


def load_models(detector: Path | None = None, classifier: Path | None = None) -> tuple[ModelVersion, ModelVersion]:
    """Load and verify a detector and a classifier; None takes the bundled one.

    Raises:
        ModelError: A manifest or blob is not as it must be; nothing was parsed.
    """
    return (
        load_version(detector or bundled("detector"), "detector"),
        load_version(classifier or bundled("classifier"), "classifier"),
    )


def open_backend(
    name: str, detector: ModelVersion, classifier: ModelVersion, options: BackendOptions | None = None
) -> Backend:
    """Open a backend and have it answer both models' probes before anybody relies on it.

    Args:
        name: ``openvino``; ``torch``; ``auto``, which is torch where CUDA is there and OpenVINO elsewhere; or
            ``package.module:callable``, a `BackendFactory` of your own.
        detector: A verified detector.
        classifier: A verified classifier.
        options: How it may use the machine.

    Raises:
        BackendError: It cannot run here; the message says what is missing.
        ModelError: A version of the wrong kind, or one that does not answer its probe; nothing stays open.
    """
    detector.detector_input, classifier.classifier_input  # noqa: B018 - each refuses a version of the other kind
    options = options or BackendOptions()
    backend = _factory(name, options)(detector, classifier, options)
    try:
        _answers(detector.manifest.probe, backend.detect(detector.manifest.probe.pixels()), detector, backend)
        glances, facts = glancing(backend, detector), detector.manifest.glance
        if glances is not None and facts is not None:
            _answers(facts.probe, glances.glance(facts.probe.pixels()), detector, backend)
        asks, small = quick(backend, classifier), classifier.manifest.quick
        if asks is not None and small is not None:
            _answers(small.probe, asks.classify_quick(small.probe.pixels()), classifier, backend)
        _answers(classifier.manifest.probe, backend.classify(classifier.manifest.probe.pixels()), classifier, backend)
    except BaseException:
        backend.close()
        raise
    return backend


def _answers(probe: Probe, outputs: Scores, version: ModelVersion, backend: Backend) -> None:
    try:
        probe.check(outputs, reduced=backend.reduced)
    except ProbeError as error:
        raise ProbeError(f"{version.directory}: {error}") from error


def check_canvases(canvases: Pixels) -> None:
    """Refuse what is no batch of canvases.

    Raises:
        ValueError: With the expected and the found shape.
    """
    shape, kind = canvases.shape, canvases.dtype
    if kind != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[1] % 32 or shape[2] % 32:
        raise ValueError(f"canvases: {kind} {shape} where uint8 (B, H, W, 3) with multiples of 32 is wanted")


def check_crops(crops: Pixels, side: int) -> None:
    """Refuse what is no batch of crops of ``side`` px.

    Raises:
        ValueError: With the expected and the found shape.
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (side, side, 3):
        raise ValueError(f"crops: {crops.dtype} {crops.shape} where uint8 (N, {side}, {side}, 3) is wanted")


def no_detections(canvases: Pixels) -> Scores:
    """Give the raw output of an empty batch of canvases."""
    points = len(grid((canvases.shape[2], canvases.shape[1])))
    return np.empty((0, points, COLUMNS), np.float32)


def _factory(name: str, options: BackendOptions) -> BackendFactory:
    if name == "auto":
        name = "torch" if options.device != "cpu" and _cuda_may_work() else "openvino"
    if name == "openvino":
        from workers.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend
    if name == "torch":
        if importlib.util.find_spec("torch") is None:
            raise BackendError("backend torch: torch is not installed; install maskwatch[gpu], or use backend openvino")
        from workers.backends.torch_backend import TorchBackend

        return TorchBackend
    if ":" in name:
        return _own_factory(name)
    raise BackendError(f"backend {name!r} is not known; use auto, openvino, torch or package.module:callable")


def _own_factory(name: str) -> BackendFactory:
    module_name, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendError(f"backend {name!r} cannot be imported: {error}") from error
    if not callable(factory):
        raise BackendError(f"backend {name!r} is no callable")
    made: BackendFactory = factory
    return made


def _cuda_may_work() -> bool:
    """Look for a driver before torch is imported: a machine without one never loads torch by ``auto``."""
    if not any(mark.exists() for mark in _DRIVER_MARKS):
        return False
    if importlib.util.find_spec("torch") is None:
        missing = "torch is not installed; install maskwatch[gpu]"
    else:
        from workers.backends.torch_backend import why_no_cuda

        missing = why_no_cuda()
    if missing:
        # A GPU was bought for this: whoever reads the log should learn why it idles.
        _log.warning("gpu_unused", because=missing, instead="openvino")
    return not missing
