"""The same network in fewer steps: rewrites of a model that change how it is computed and nothing of its answers.

Each rewrite looks for exactly the shape of graph that it knows, and leaves any other as it is.
"""

from __future__ import annotations

from typing import Any

from workers.backends.openvino_answers import put_answers_in_planes, take_the_most_first
from workers.backends.openvino_heads import put_heads_together
from workers.backends.openvino_pixels import keep_pixels_in_place, put_columns_together, put_neighbours_together

REWRITES = "pixels-in-place columns-and-neighbours-together-if-reduced heads-together answers-in-planes most-first"
"""Goes into the key of compiled networks: a change here makes them anew."""


def simplify(model: Any, *, reduced: bool) -> None:
    """Rewrite a model of static shape, in place.

    Args:
        model: As it was read. A detector's table of answers may be left for
            ``workers.backends.openvino_answers.put_answers_together`` to make.
        reduced: Whether it will be computed in bfloat16, and not in 8 bits: those read single pixels as they are.
    """
    keep_pixels_in_place(model)
    if reduced and not put_neighbours_together(model):
        put_columns_together(model)
    put_heads_together(model)
    take_the_most_first(model)
    put_answers_in_planes(model)
    model.validate_nodes_and_infer_types()
