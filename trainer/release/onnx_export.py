"""From a torch graph to an ONNX file: half-precision weights, dynamic batch and, for the detector, dynamic canvas."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from common.models.manifest import Kind


def export_onnx(graph: nn.Module, kind: Kind, side: int = 112) -> bytes:
    """Export a serving graph.

    Args:
        graph: ``DetectorGraph``, ``GlanceGraph`` or ``ClassifierGraph`` in evaluation mode.
        kind: Whose; a glance is a detector's.
        side: Side of the classifier's crops, px.

    Returns:
        The ONNX file: detector ``images`` uint8 (B, H, W, 3) to ``raw`` float (B, N, 16 or 17); classifier ``crops``
        uint8 (N, side, side, 3) to ``probabilities`` float (N, 3).
    """
    batch = torch.export.Dim("batch", min=1, max=1024)
    if kind == "detector":
        rows, columns = torch.export.Dim("rows", min=1, max=128), torch.export.Dim("columns", min=1, max=128)
        sample = torch.zeros((2, 96, 128, 3), dtype=torch.uint8)
        shapes = {0: batch, 1: 32 * rows, 2: 32 * columns}
        names = (["images"], ["raw"])
    else:
        sample = torch.zeros((2, side, side, 3), dtype=torch.uint8)
        shapes = {0: batch}
        names = (["crops"], ["probabilities"])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            graph, (sample,), dynamo=True, dynamic_shapes=(shapes,), input_names=names[0], output_names=names[1],
            opset_version=18, verbose=False,
        )  # fmt: skip
    if program is None:
        raise RuntimeError("the ONNX exporter returned nothing")
    model = program.model_proto
    store_half(model)
    strip_names(model)
    return bytes(model.SerializeToString())


def store_half(model: onnx.ModelProto) -> None:
    """Store every float matrix in half precision behind a cast, in place; computing stays in float."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT, name=f"{name}.cast"))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def strip_names(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about the machine it ran on (source lines and paths), in place."""
    model.doc_string = ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
