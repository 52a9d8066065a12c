"""The end of a detector in fewer steps: its answers stay in planes, one for each column of its table.

Exported graphs turn planes into a table, cut that into columns, make a score of two of them, and put all together
again. The library does that value by value: a tenth of a glance in bfloat16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import openvino.opset13 as ops

from workers.backends.openvino_nodes import constant_of, number_of, replace

PLANES = "planes"
"""Name of the output of a graph whose answers stayed in planes, (B, columns, N)."""
_COLUMNS = 16


def put_answers_in_planes(model: openvino.Model) -> bool:
    """Have a detector's graph end with planes, one for each column of the table that it ended with.

    Returns:
        Whether its output is such a table as ``common.models.networks.DetectorGraph`` makes, or
        ``common.models.focus.GlanceGraph``.
    """
    (result,) = model.get_results()
    table, focus = result.input_value(0).get_node(), None
    if _is_concat(table, 2):
        head, tail = (value.get_node() for value in table.input_values())
        if tail.get_type_name() != "Unsqueeze":
            return False
        table, focus = head, tail.input_value(0)
    levels = _levels_of(_logits_of(table))
    if not levels:
        return False
    logits = ops.variadic_split(ops.concat(levels, 2), ops.constant(1), ops.constant(np.array([1, 1, 14])))
    chance, objectness = ops.sigmoid(logits.output(0)), ops.sigmoid(logits.output(1))
    planes = [ops.sqrt(ops.multiply(chance, objectness)), logits.output(2), objectness]
    if focus is not None:
        planes.append(ops.unsqueeze(focus, ops.constant(1)))
    answer = ops.result(ops.concat(planes, 1))
    answer.output(0).set_names({PLANES})
    model.add_results([answer])
    model.remove_result(result)
    return True


def _levels_of(logits: Any) -> list[Any]:
    """List the planes, (B, 16, h w), that logits were put together from; none where it was done otherwise."""
    node = None if logits is None else logits.get_node()
    if node is None or node.get_type_name() != "Concat" or node.get_attributes()["axis"] not in (1, -2):
        return []
    levels = []
    for value in node.input_values():
        turned = value.get_node()
        order = constant_of(turned.input_value(1).get_node()) if turned.get_type_name() == "Transpose" else None
        if order is None or order.tolist() != [0, 2, 1]:
            return []
        levels.append(turned.input_value(0))
    return levels


def take_the_most_first(model: openvino.Model) -> int:
    """Take the highest of several logits before it becomes a probability, in place of the highest probability.

    Returns:
        How often that was done.
    """
    found = 0
    for most in model.get_ordered_ops():
        sigmoid = most.input_value(0).get_node() if most.get_type_name() == "ReduceMax" else None
        if sigmoid is None or sigmoid.get_type_name() != "Sigmoid" or len(sigmoid.output(0).get_target_inputs()) != 1:
            continue
        highest = ops.reduce_max(sigmoid.input_value(0), most.input_value(1), most.get_attributes()["keep_dims"])
        replace(most, ops.sigmoid(highest))
        found += 1
    return found


def _logits_of(table: Any) -> Any:
    """Find the logits of a table of score, deltas and objectness; None where it was made otherwise."""
    if not _is_concat(table, 3):
        return None
    root, deltas, objectness = (value.get_node() for value in table.input_values())
    product = root.input_value(0).get_node()
    if (root.get_type_name(), product.get_type_name(), objectness.get_type_name()) != ("Sqrt", "Multiply", "Sigmoid"):
        return None
    factors = [value.get_node() for value in product.input_values()]
    chances = [factor for factor in factors if factor.get_friendly_name() != objectness.get_friendly_name()]
    if len(chances) != 1 or chances[0].get_type_name() != "Sigmoid":
        return None
    columns = ((chances[0].input_value(0), 0, 1), (objectness.input_value(0), 1, 2), (deltas.output(0), 2, _COLUMNS))
    sources = [_cut_from(output.get_node(), start, stop) for output, start, stop in columns]
    names = {None if source is None else source.get_node().get_friendly_name() for source in sources}
    return sources[0] if len(names) == 1 else None


def _cut_from(node: Any, start: int, stop: int) -> Any:
    """Give what columns ``start`` to ``stop`` of logits are cut out of; None where it is not just those."""
    if node.get_type_name() != "Slice":
        return None
    first, end, step, axis = (number_of(node.input_value(place)) for place in (1, 2, 3, 4))
    if first != start or end is None or min(end, _COLUMNS) != stop or step != 1 or axis not in (-1, 2):
        return None
    source = node.input_value(0)
    return source if list(source.get_shape())[2:] == [_COLUMNS] else None


def _is_concat(node: Any, parts: int) -> bool:
    """Say whether so many tables are put beside one another, column after column."""
    kind, inputs = node.get_type_name(), node.input_values()
    return kind == "Concat" and len(inputs) == parts and node.get_attributes()["axis"] in (-1, 2)
