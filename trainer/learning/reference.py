"""Does our detector compute what the file it came with computes? Asked before a run spends hours on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import TrainingError
from common.models.networks import DetectorGraph
from common.models.yunet import YuNet

SIDE = 640  # the public export has this canvas only; ours takes any
TOLERANCE = (
    0.02  # ours rounds folded weights to half precision; an error of layout or weights is a hundred times larger
)
HEADS = ("cls", "obj", "bbox", "kps")
STRIDES = (8, 16, 32)


def reference_beside(weights: Path) -> Path | None:
    """Give the ONNX file that belongs to a weights file: a version's own, or one whose name begins like it."""
    version = weights.parent / "model.onnx"
    if weights.name == "weights.safetensors" and version.is_file():
        return version
    return next(iter(sorted(weights.parent.glob(f"{weights.stem}*.onnx"))), None)


def check_reference(network: YuNet, reference: Path) -> float:
    """Compare every output of the network with those of an ONNX file, on a fixed pattern; gives the largest difference.

    Args:
        network: The detector, filled; left in evaluation mode.
        reference: A version's ``model.onnx``, or YuNet's public export at 640 × 640.

    Raises:
        TrainingError: The file cannot be run, is no such detector, or answers differently.
    """
    pixels = np.repeat(np.repeat(np.random.default_rng(3).integers(0, 256, (1, 40, 40, 3), np.uint8), 16, 1), 16, 2)
    wanted = _answers(reference, pixels)
    graph = DetectorGraph(network.cpu()).eval()
    with torch.inference_mode():
        ours: NDArray[np.float32] = graph(torch.from_numpy(pixels)).numpy()
    if wanted.shape != ours.shape:
        raise TrainingError(f"{reference}: no YuNet: answers of shape {wanted.shape} in place of {ours.shape}")
    difference = float(np.abs(ours - wanted).max())
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the weights do not compute what {reference.name} computes: answers differ by up to {difference:.3g}, "
            f"allowed {TOLERANCE}; they belong to another file, or to another network"
        )
    return difference


def _answers(reference: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    import openvino

    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(reference), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        if compiled.input(0).partial_shape[-1] == 3:
            return np.asarray(next(iter(compiled(pixels).values())))
        found = compiled(pixels.transpose(0, 3, 1, 2).astype(np.float32))
        outputs = {name: value for port, value in found.items() for name in port.get_names()}
    except Exception as error:
        raise TrainingError(f"{reference}: cannot be run: {str(error).strip().splitlines()[-1]}") from error
    return _as_served(outputs, reference)


def _as_served(outputs: dict[str, NDArray[np.float32]], reference: Path) -> NDArray[np.float32]:
    """Bring the public export's twelve outputs into the served order: score, box, landmarks, objectness."""
    names = [f"{head}_{stride}" for head in HEADS for stride in STRIDES]
    missing = [name for name in names if name not in outputs]
    if missing:
        raise TrainingError(f"{reference}: no YuNet: it has no output {', '.join(missing)}")
    merged = [np.concatenate([outputs[f"{head}_{stride}"] for stride in STRIDES], axis=1) for head in HEADS]
    whole = np.concatenate([np.sqrt(merged[0] * merged[1]), *merged[2:], merged[1]], axis=-1)
    return np.asarray(whole, np.float32)
