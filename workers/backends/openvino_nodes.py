"""Reading and rewiring a graph of OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def number_of(output: Any) -> float | None:
    """Give a single constant number; None for anything else."""
    held = constant_of(output.get_node())
    return float(held.item()) if held is not None and held.size == 1 else None


def constant_of(node: Any) -> NDArray[Any] | None:
    """Give what a constant holds, also behind a change of type or shape; None for anything else."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data())
    if kind not in ("Convert", "Reshape") or not node.output(0).get_partial_shape().is_static:
        return None
    inner = constant_of(node.input_value(0).get_node())
    return None if inner is None else inner.reshape(list(node.output(0).get_shape()))


def only_user(node: Any, kind: str) -> Any:
    """Give the one node that reads a node's output; None where there are others, or it is not of that kind.

    What asks for the shape only does not count: shapes are static here.
    """
    users = [user.get_node() for user in node.output(0).get_target_inputs()]
    readers = [user for user in users if user.get_type_name() != "ShapeOf"]
    return readers[0] if len(readers) == 1 and readers[0].get_type_name() == kind else None


def replace(node: Any, other: Any) -> None:
    """Have whatever reads a node's output read another's."""
    for user in list(node.output(0).get_target_inputs()):
        user.replace_source_output(other.output(0))
