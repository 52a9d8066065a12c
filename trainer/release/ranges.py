"""Measure what the convolutions of a network read, and keep it in its ONNX file; see ``common.models.ranges``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx as onnx_format
from numpy.typing import NDArray

from common.models.ranges import METADATA_KEY, Ranges, write_ranges

Pictures = NDArray[np.uint8]


def measure_ranges(onnx: bytes, pictures: Sequence[Pictures]) -> Ranges:
    """Run a network in float32 and note the least and the most that each of its convolutions reads.

    Args:
        onnx: A detector's, glance's or classifier's file.
        pictures: Batches, each uint8, (B, H, W, 3), BGR, all of one shape.

    Returns:
        By the name of the node; the first convolution, which reads pixels, too.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx)
    model.reshape(list(pictures[0].shape))
    sources = _sources(model)
    outputs = list({_place(source): source for source in sources.values()}.values())
    model.add_outputs(outputs)
    places = {_place(source): number for number, source in enumerate(outputs)}
    numbers = {name: places[_place(source)] for name, source in sources.items()}
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ends = np.array([_ends(compiled(batch), len(outputs)) for batch in pictures])
    lows, highs = ends[:, :, 0].min(axis=0), ends[:, :, 1].max(axis=0)
    return {name: _around_0(lows[at], highs[at]) for name, at in numbers.items()}


def widest(first: Ranges, second: Ranges) -> Ranges:
    """Give ranges that hold those of both, of the same network."""
    return {name: (min(low, second[name][0]), max(high, second[name][1])) for name, (low, high) in first.items()}


def with_ranges(onnx: bytes, ranges: Ranges) -> bytes:
    """Give the file with these ranges in place of any that it held."""
    model = onnx_format.load_from_string(onnx)
    others = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    for key, value in [*others, (METADATA_KEY, write_ranges(ranges))]:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString())


def _sources(model: Any) -> dict[str, Any]:
    """Give what each plain convolution reads, by its name in the file."""
    return {
        node.get_friendly_name().split("/")[0]: node.input_value(0)
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution"
    }


def _place(source: Any) -> tuple[str, int]:
    return source.get_node().get_friendly_name(), source.get_index()


def _ends(answers: Any, count: int) -> NDArray[np.float32]:
    """Give least and most of each of the last ``count`` answers, float32 (count, 2)."""
    values = list(answers.values())[-count:]
    return np.array([(value.min(), value.max()) for value in values], np.float32)


def _around_0(low: float, high: float) -> tuple[float, float]:
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    return (low, high) if low < high else (low, low + 1.0)
