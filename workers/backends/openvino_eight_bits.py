"""Convolutions in 8 bits: each reads its input in steps of a range that was measured beforehand, and weights likewise.

As Jacob et al. have it, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018: inputs in one range, weights in one for each channel of the answer. Convolutions of single channels stay as
they are: they are limited by memory, and gained nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino.opset13 as ops
from numpy.typing import NDArray

from common.models.ranges import METADATA_KEY, Ranges, read_ranges
from workers.backends.openvino_nodes import constant_of
from workers.backends.openvino_pixels import calculated_range, pixel_steps

_LEVELS, _WEIGHT_LEVELS = 256, 255
"""Weights go from -127 to 127, so that 0 is 0."""
_LARGEST, _SPARE = 127, 63
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_MATRIX_UNITS = frozenset({"amx_int8", "amx_bf16"})


@dataclass(frozen=True, slots=True)
class Multiplier:
    """How a processor multiplies 8 bits.

    Attributes:
        gains: Whether faster than what it would use otherwise. With matrix units the time goes into what lies between
            convolutions, of which there is more in 8 bits.
        largest_weight: Up to which number weights go. Without VNNI two products are added in 16 bits, which overflow
            unless weights spare a bit.
    """

    gains: bool
    largest_weight: int


def multiplier(flags: Path = Path("/proc/cpuinfo")) -> Multiplier:
    """Say how this processor multiplies 8 bits; where it does not tell, it gains nothing."""
    try:
        line = next(text for text in flags.read_text("ascii", "replace").splitlines() if text.startswith("flags"))
    except (OSError, StopIteration):
        line = ""
    has = set(line.partition(":")[2].split())
    return Multiplier("avx2" in has and not has & _MATRIX_UNITS, _LARGEST if has & _VNNI else _SPARE)


def ranges_of(model: Any) -> Ranges:
    """Give the ranges that a network's file holds; none where it holds none.

    Raises:
        ManifestError: What it holds is damaged.
    """
    place = ["framework", METADATA_KEY]
    return read_ranges(str(model.get_rt_info(place).value)) if model.has_rt_info(place) else {}


def compute_in_eight_bits(model: Any, ranges: Ranges, largest_weight: int = _LARGEST) -> int:
    """Have convolutions read 8 bits, in place; where pixels are read as they lie, exactly those.

    Args:
        model: Of static shape, after ``workers.backends.openvino_graph.simplify``.
        ranges: By the name of the node in the ONNX file. What has none stays as it is.
        largest_weight: See `Multiplier`.

    Returns:
        How many do.
    """
    changed = 0
    for node in model.get_ordered_ops() if ranges else ():
        weights = constant_of(node.input_value(1).get_node()) if node.get_type_name() == "Convolution" else None
        read = _range_before(node, ranges) if weights is not None else None
        if weights is None or read is None:
            continue
        node.input(0).replace_source_output(_stepped(node.input_value(0), *read, _LEVELS).output(0))
        node.input(1).replace_source_output(_stepped_weights(weights.astype(np.float32), largest_weight).output(0))
        changed += 1
    return changed


def _range_before(convolution: Any, ranges: Ranges) -> tuple[float, float] | None:
    steps: Sequence[Any] = pixel_steps(convolution)
    if steps:
        return calculated_range(steps)
    read = ranges.get(convolution.get_friendly_name().split("/")[0])
    if read is None or read[0] >= 0:
        return read
    most = max(-read[0], read[1])
    return -most * 128 / 127, most  # signed bytes go one step further down than up


def _stepped(source: Any, low: float, high: float, levels: int) -> Any:
    ends = [ops.constant(np.float32(end)) for end in (low, high, low, high)]
    return ops.fake_quantize(source, *ends, levels)


def _stepped_weights(weights: NDArray[np.float32], largest: int) -> Any:
    most = np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(np.float32(1e-8))
    # The library knows 255 steps as 8 bits; whoever spares one uses those in the middle.
    end = most * np.float32(_LARGEST / largest)
    ends = [ops.constant(bound) for bound in (-end, end, -end, end)]
    return ops.fake_quantize(ops.constant(np.ascontiguousarray(weights)), *ends, _WEIGHT_LEVELS)
