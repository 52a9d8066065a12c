"""The beginning of a network in fewer steps: pixels are read as they lie, and several columns of them at once.

Three colours are few channels for a processor's wide units. Pixels that lie beside one another are also channels of one
wider pixel: to say so costs nothing, and a convolution that steps over columns then steps by one of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.backends.openvino_nodes import constant_of, number_of, only_user, replace

_TO_PLANES = [0, 3, 1, 2]
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Divide": ops.divide,
    "Multiply": ops.multiply,
    "Subtract": ops.subtract,
}
_NUMBERS: dict[str, Callable[..., Any]] = {"Divide": np.divide, "Multiply": np.multiply, "Subtract": np.subtract}
MOST_ANSWERS = 32
"""Channels of a wider answer: with 48 (24 for each of two neighbours) nothing was gained."""
_STEPS = frozenset({"Slice", "Transpose", "Convert", *_ARITHMETIC})


def keep_pixels_in_place(model: Any) -> bool:
    """Have the first convolution read the pixels as they lie.

    Exported graphs reverse the colours and move them into planes first, and the library does both by copying; here the
    weights are reversed instead, and the planes exist in name only: arithmetic that stands before the move keeps the
    library from copying.

    Returns:
        Whether the model had that form.
    """
    first = next((node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"), None)
    steps = [] if first is None else _steps_before(first)
    weights = None if first is None else constant_of(first.input_value(1).get_node())
    if first is None or weights is None or not _is_known(steps):
        return False
    weights = weights.astype(np.float32)
    arithmetic = [step for step in steps if step.get_type_name() in _ARITHMETIC]
    pixels = _calculated(steps[0].input_value(0), arithmetic)
    if not arithmetic:
        # Halving is exact in every floating-point type, and so is doubling the weights.
        pixels, weights = ops.multiply(pixels, ops.constant(np.float32(0.5))), weights * 2
    if any(step.get_type_name() == "Slice" for step in steps):
        weights = weights[:, ::-1]
    planes = ops.transpose(pixels, ops.constant(np.array(_TO_PLANES)))
    first.input(0).replace_source_output(planes.output(0))
    first.input(1).replace_source_output(ops.constant(np.ascontiguousarray(weights)).output(0))
    return True


def pixel_steps(convolution: Any) -> Sequence[Any]:
    """List what makes numbers of pixels for a convolution that reads them; empty for any other."""
    steps = _steps_before(convolution)
    return steps if _is_known(steps) else ()


def calculated_range(steps: Sequence[Any]) -> tuple[float, float]:
    """Give the least and the most, float, that such steps make of a pixel, uint8."""
    ends = np.array([0, 255], np.float32)
    for step in steps:
        if step.get_type_name() in _ARITHMETIC:
            ends = _NUMBERS[step.get_type_name()](ends, np.float32(number_of(step.input_value(1)) or 0))
    return float(ends.min()), float(ends.max())


def put_columns_together(model: Any) -> bool:
    """Have the first convolution read as many columns of pixels at once as it steps.

    Where its window begins in the middle of a wider pixel, the weights of the columns before are 0. In single precision
    those are multiplied like all others: a glance takes a tenth longer.

    Returns:
        Whether the model begins in the form that `keep_pixels_in_place` leaves, with a convolution that steps.
    """
    first = _first_of(model)
    if first is None:
        return False
    replace(first.node, _reading_wide(first, 1))
    return True


def put_neighbours_together(model: Any) -> bool:
    """Have the first convolution answer for as many neighbours at once as the second one steps, which reads those.

    Neighbours are channels of one wider answer. A part of the first one's weights is 0, and still both take less time
    in bfloat16: they fill what the processor multiplies at once.

    Returns:
        Whether the model begins as `put_columns_together` wants it and goes on with a bias, a rectifier and another
        convolution that steps.
    """
    first = _first_of(model)
    add = None if first is None else only_user(first.node, "Add")
    rectifier = None if add is None else only_user(add, "Relu")
    node = None if rectifier is None else only_user(rectifier, "Convolution")
    if first is None or add is None or node is None:
        return False
    bias, second = constant_of(add.input_value(1).get_node()), _Convolution.of(node)
    if bias is None or second is None or bias.size != len(first.weights):
        return False
    factor = second.step
    columns, outputs = first.columns, node.input_value(0).get_shape()[3]
    if factor == 1 or outputs % factor or columns % (first.step * factor) or bias.size * factor > MOST_ANSWERS:
        return False
    wide = np.tile(bias.astype(np.float32).ravel(), factor).reshape(1, -1, 1, 1)
    answers = ops.relu(ops.add(_reading_wide(first, factor), ops.constant(wide)))
    replace(node, _convolved(answers, second, _grouped(second.weights, factor, [second.left])))
    return True


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution of known weights, float32 (O, C, H, W), without dilation; the first one also has steps before."""

    node: Any
    weights: NDArray[np.float32]
    steps: Sequence[Any] = ()

    @classmethod
    def of(cls, node: Any, steps: Sequence[Any] = ()) -> _Convolution | None:
        weights = constant_of(node.input_value(1).get_node())
        if weights is None or node.get_attributes()["dilations"] != [1, 1]:
            return None
        return cls(node, weights.astype(np.float32), steps)

    @property
    def step(self) -> int:
        """By how many columns it steps."""
        return int(self.node.get_attributes()["strides"][1])

    @property
    def left(self) -> int:
        """Columns of 0 before the first one."""
        return int(self.node.get_attributes()["pads_begin"][1])

    @property
    def columns(self) -> int:
        """How many columns it reads."""
        return int(self.node.input_value(0).get_shape()[3])


_Groups = tuple[NDArray[np.float32], int]
"""Weights for wider columns, and how many of those lie left of the first one."""


def _first_of(model: Any) -> _Convolution | None:
    """Find a first convolution that steps, of pixels in place; None where there is none of that form."""
    node = next((node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"), None)
    steps = [] if node is None else _steps_before(node)
    kinds = [step.get_type_name() for step in steps]
    if node is None or not _is_known(steps) or (kinds[0], kinds[-1]) != ("Convert", "Transpose"):
        return None
    first = _Convolution.of(node, steps)
    colours = steps[0].input_value(0).get_shape()[3]
    if first is None or first.step == 1 or first.columns % first.step or first.weights.shape[1] != colours:
        return None
    return first


def _reading_wide(first: _Convolution, neighbours: int) -> Any:
    """Have the first convolution read wider pixels, and answer for several neighbours in one wider answer."""
    pixels = first.steps[0].input_value(0)
    batch, height, width, colours = pixels.get_shape()
    group = first.step * neighbours
    shape = ops.constant(np.array([batch, height, width // group, colours * group]))
    numbers = _calculated(ops.reshape(pixels, shape, False), first.steps[1:-1])
    planes = ops.transpose(numbers, ops.constant(np.array(_TO_PLANES)))
    lefts = [first.left - number * first.step for number in range(neighbours)]
    return _convolved(planes, first, _grouped(first.weights, group, lefts))


def _convolved(planes: Any, convolution: _Convolution, groups: _Groups) -> Any:
    """Do what a convolution does with wider columns, one by one."""
    about, (weights, before) = convolution.node.get_attributes(), groups
    neighbours = len(weights) // len(convolution.weights)
    outputs = convolution.node.get_output_shape(0)[3] // neighbours
    after = max(0, outputs - 1 + weights.shape[3] - before - planes.get_output_shape(0)[3])
    pads = [about["pads_begin"][0], before], [about["pads_end"][0], after]
    return ops.convolution(planes, ops.constant(weights), [about["strides"][0], 1], *pads, [1, 1])


def _grouped(weights: NDArray[np.float32], group: int, lefts: Sequence[int]) -> _Groups:
    """Give weights (O, C, H, W) for columns of which each is a ``group`` of narrow ones: (O len(lefts), C group, H, n).

    Each of ``lefts`` is how many narrow columns left of a wide one an answer's window begins; less than 0: right of it.
    """
    outputs, channels, height, width = weights.shape
    before = max(0, *(-(-left // group) for left in lefts))
    after = max(0, *((width - 1 - left) // group for left in lefts))
    groups = np.zeros((len(lefts), outputs, channels * group, height, before + 1 + after), np.float32)
    for wide, left in zip(groups, lefts, strict=True):
        for column in range(width):
            number, place = divmod(column - left, group)
            wide[:, place * channels : (place + 1) * channels, :, before + number] = weights[:, :, :, column]
    return groups.reshape(-1, *groups.shape[2:]), before


def _calculated(pixels: Any, arithmetic: Sequence[Any]) -> Any:
    """Make numbers of pixels and do the same arithmetic with them."""
    numbers = ops.convert(pixels, "f32")
    for step in arithmetic:
        amount = ops.constant(np.float32(number_of(step.input_value(1))))
        numbers = _ARITHMETIC[step.get_type_name()](numbers, amount)
    return numbers


def _is_known(steps: Sequence[Any]) -> bool:
    """Say whether pixels are moved into planes and made numbers once each, and otherwise only reversed or scaled."""
    kinds = [step.get_type_name() for step in steps]
    if kinds.count("Transpose") != 1 or kinds.count("Convert") != 1 or kinds.count("Slice") > 1:
        return False
    for step in steps:
        if step.get_type_name() == "Transpose":
            order = constant_of(step.input_value(1).get_node())
            known = order is not None and order.ravel().tolist() == _TO_PLANES
        elif step.get_type_name() == "Slice":
            known = _reverses_colours(step)
        else:
            known = step.get_type_name() == "Convert" or number_of(step.input_value(1)) is not None
        if not known:
            return False
    return True


def _steps_before(convolution: Any) -> list[Any]:
    """List what lies between the model's input and its first convolution; empty where there is anything unknown."""
    steps: list[Any] = []
    node = convolution.input_value(0).get_node()
    while node.get_type_name() != "Parameter":
        if node.get_type_name() not in _STEPS or len(node.output(0).get_target_inputs()) != 1:
            return []
        steps.insert(0, node)
        node = node.input_value(0).get_node()
    return steps


def _reverses_colours(step: Any) -> bool:
    start, stop, stride, axis = (number_of(step.input_value(place)) for place in (1, 2, 3, 4))
    if start is None or stop is None:
        return False
    return start in (-1, 2) and stop < -3 and stride == -1 and axis in (-1, 3)
