"""The same network in fewer steps: rewrites of a model that change how it is computed and nothing of its answers.

Each rewrite looks for exactly the shape of graph that it knows, and leaves any other as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino.opset13 as ops
from numpy.typing import NDArray

REWRITES = "pixels-in-place columns-together-if-reduced heads-together"
"""Goes into the key of compiled networks: a change here makes them anew."""

_TO_PLANES = [0, 3, 1, 2]
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Divide": ops.divide,
    "Multiply": ops.multiply,
    "Subtract": ops.subtract,
}
_STEPS = frozenset({"Slice", "Transpose", "Convert", *_ARITHMETIC})


def simplify(model: Any, *, reduced: bool) -> None:
    """Rewrite a model of static shape, in place.

    Args:
        model: As it was read.
        reduced: Whether it will be computed in bfloat16.
    """
    keep_pixels_in_place(model)
    if reduced:
        put_columns_together(model)
    put_heads_together(model)
    model.validate_nodes_and_infer_types()


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
    weights = None if first is None else _value(first.input_value(1).get_node())
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


def put_columns_together(model: Any) -> bool:
    """Have the first convolution read as many columns of pixels at once as it steps.

    Three colours are few channels for a processor's wide units. Pixels that lie beside one another are also channels of
    one wider pixel: to say so costs nothing, and the convolution steps by one of those. Where its window begins in the
    middle of one, the weights of the columns before are 0. In single precision those are multiplied like all others:
    a glance takes a tenth longer.

    Returns:
        Whether the model begins in the form that `keep_pixels_in_place` leaves, with a convolution that steps.
    """
    first = next((node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"), None)
    steps = [] if first is None else _steps_before(first)
    weights = None if first is None else _value(first.input_value(1).get_node())
    kinds = [step.get_type_name() for step in steps]
    if first is None or weights is None or not _is_known(steps) or (kinds[0], kinds[-1]) != ("Convert", "Transpose"):
        return False
    about, pixels = first.get_attributes(), steps[0].input_value(0)
    (down, step), (top, left) = about["strides"], about["pads_begin"]
    batch, height, width, colours = pixels.get_shape()
    if step == 1 or width % step or about["dilations"] != [1, 1] or weights.shape[1] != colours:
        return False
    groups, before = _grouped(weights.astype(np.float32), step, left)
    wide = ops.reshape(pixels, ops.constant(np.array([batch, height, width // step, colours * step])), False)
    planes = ops.transpose(_calculated(wide, steps[1:-1]), ops.constant(np.array(_TO_PLANES)))
    outputs = first.get_output_shape(0)[3]
    after = max(0, outputs - 1 + groups.shape[3] - before - width // step)
    pads = [top, before], [about["pads_end"][0], after]
    grouped = ops.convolution(planes, ops.constant(groups), [down, 1], *pads, [1, 1])
    for user in list(first.output(0).get_target_inputs()):
        user.replace_source_output(grouped.output(0))
    return True


def _calculated(pixels: Any, arithmetic: Sequence[Any]) -> Any:
    """Make numbers of pixels and do the same arithmetic with them."""
    numbers = ops.convert(pixels, "f32")
    for step in arithmetic:
        amount = ops.constant(np.float32(_scalar(step.input_value(1))))
        numbers = _ARITHMETIC[step.get_type_name()](numbers, amount)
    return numbers


def _grouped(weights: NDArray[Any], step: int, left: int) -> tuple[NDArray[np.float32], int]:
    """Give weights (O, C, H, W) for groups of ``step`` columns, (O, C step, H, groups), and how many are left of 0."""
    outputs, colours, height, width = weights.shape
    before = -(-left // step)
    after = (width - 1 - left) // step
    groups = np.zeros((outputs, colours * step, height, before + 1 + after), np.float32)
    for column in range(width):
        group, place = divmod(column - left, step)
        groups[:, place * colours : (place + 1) * colours, :, before + group] = weights[:, :, :, column]
    return groups, before


def _is_known(steps: Sequence[Any]) -> bool:
    """Say whether pixels are moved into planes and made numbers once each, and otherwise only reversed or scaled."""
    kinds = [step.get_type_name() for step in steps]
    if kinds.count("Transpose") != 1 or kinds.count("Convert") != 1 or kinds.count("Slice") > 1:
        return False
    for step in steps:
        if step.get_type_name() == "Transpose":
            order = _value(step.input_value(1).get_node())
            known = order is not None and order.ravel().tolist() == _TO_PLANES
        elif step.get_type_name() == "Slice":
            known = _reverses_colours(step)
        else:
            known = step.get_type_name() == "Convert" or _scalar(step.input_value(1)) is not None
        if not known:
            return False
    return True


def put_heads_together(model: Any) -> int:
    """Compute heads side by side that are put side by side anyway.

    YuNet ends, for each stride, in four pairs of a pointwise and a depthwise convolution of 1, 1, 4 and 10 channels on
    the same features; one pair of 16 channels gives the same numbers in a third of the time.

    Returns:
        How many groups of heads were put together.
    """
    found = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or node.get_attributes().get("axis") != 1:
            continue
        heads = [_head(value.get_node()) for value in node.input_values()]
        if len(heads) < 2 or any(head is None for head in heads):
            continue
        whole = [head for head in heads if head is not None]
        if len({head[0].get_node().get_friendly_name() for head in whole}) != 1:
            continue
        merged = _merged(whole)
        for user in list(node.output(0).get_target_inputs()):
            user.replace_source_output(merged.output(0))
        found += 1
    return found


_Head = tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""Features, then weights and bias of the pointwise and of the depthwise convolution."""


def _merged(heads: Sequence[_Head]) -> Any:
    point, bias, depth, shift = (np.concatenate([head[part] for head in heads]) for part in (1, 2, 3, 4))
    mixed = ops.convolution(heads[0][0], ops.constant(point), [1, 1], [0, 0], [0, 0], [1, 1])
    mixed = ops.add(mixed, ops.constant(bias.reshape(1, -1, 1, 1)))
    spread = ops.group_convolution(mixed, ops.constant(depth), [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(spread, ops.constant(shift.reshape(1, -1, 1, 1)))


def _head(last: Any) -> _Head | None:
    """Read a pair of convolutions backwards from its end; None where it is none."""
    depth = _convolution(last, (3, 3), [1, 1])
    if depth is None:
        return None
    point = _convolution(depth[0].get_node(), (1, 1), [0, 0])
    if point is None:
        return None
    channels = len(point[1])
    weights = depth[1].reshape(-1, 1, 1, 3, 3)
    # A single channel is exported as a plain convolution; with more it would not be depthwise.
    if len(weights) != channels or point[1].ndim != 4:
        return None
    return point[0], point[1], point[2], weights, depth[2]


def _convolution(add: Any, kernel: tuple[int, int], pads: list[int]) -> tuple[Any, NDArray[Any], NDArray[Any]] | None:
    """Take a convolution with its bias apart: input, weights, bias; None where it is not of the given form."""
    if add.get_type_name() != "Add":
        return None
    node = add.input_value(0).get_node()
    if node.get_type_name() not in ("Convolution", "GroupConvolution"):
        return None
    about = node.get_attributes()
    weights, bias = _value(node.input_value(1).get_node()), _value(add.input_value(1).get_node())
    if weights is None or bias is None or weights.shape[-2:] != kernel or bias.size != np.prod(weights.shape[:1]):
        return None
    plain = about["strides"] == [1, 1] and about["dilations"] == [1, 1]
    if not plain or list(about["pads_begin"]) != pads or list(about["pads_end"]) != pads:
        return None
    return node.input_value(0), weights.astype(np.float32), bias.astype(np.float32).ravel()


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
    start, stop, stride, axis = (_scalar(step.input_value(place)) for place in (1, 2, 3, 4))
    if start is None or stop is None:
        return False
    return start in (-1, 2) and stop < -3 and stride == -1 and axis in (-1, 3)


def _scalar(value: Any) -> float | None:
    """Give a single constant number; None for anything else."""
    held = _value(value.get_node())
    return float(held.item()) if held is not None and held.size == 1 else None


def _value(node: Any) -> NDArray[Any] | None:
    """Give what a constant holds, also behind a change of type or shape; None for anything else."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data())
    if kind not in ("Convert", "Reshape") or not node.output(0).get_partial_shape().is_static:
        return None
    inner = _value(node.input_value(0).get_node())
    return None if inner is None else inner.reshape(list(node.output(0).get_shape()))
