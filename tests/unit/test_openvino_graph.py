"""Rewritten graphs give the answers of the graphs they were made from, and unknown graphs stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import openvino.opset13 as ops
import pytest

from common.models.manifest import Kind, bundled, load_version
from workers.backends.openvino_answers import PLANES, put_answers_in_planes, take_the_most_first
from workers.backends.openvino_graph import simplify
from workers.backends.openvino_heads import put_heads_together
from workers.backends.openvino_pixels import keep_pixels_in_place, put_columns_together, put_neighbours_together

CORE = openvino.Core()
SIDE = load_version(bundled("classifier"), "classifier").classifier_input.side
SHAPES: dict[Kind, tuple[int, ...]] = {"detector": (2, 96, 128, 3), "classifier": (3, SIDE, SIDE, 3)}


def read(kind: Kind, file: str = "model.onnx") -> Any:
    model = CORE.read_model(str(bundled(kind) / file))
    model.reshape(list(SHAPES[kind]))
    return model


def answers(model: Any, pixels: np.ndarray) -> np.ndarray:
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    network = CORE.compile_model(model, "CPU", hints)
    given = np.array(network(pixels)[0])
    return given.swapaxes(1, 2) if PLANES in network.output(0).get_names() else given


def kinds_of(model: Any) -> list[str]:
    return [node.get_type_name() for node in model.get_ordered_ops()]


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("detector", "model.onnx"),
        ("detector", "glance.onnx"),
        ("classifier", "model.onnx"),
        ("classifier", "quick.onnx"),
    ],
)
def test_the_bundled_networks_answer_the_same_in_fewer_steps(kind: Kind, file: str, reduced: bool) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, SHAPES[kind], np.uint8)
    plain, simple = read(kind, file), read(kind, file)
    simplify(simple, reduced=reduced)
    np.testing.assert_allclose(answers(simple, pixels), answers(plain, pixels), atol=2e-5)
    assert "Slice" not in kinds_of(simple)[:3]


def test_the_rewrites_find_what_the_bundled_networks_have() -> None:
    detector, classifier = read("detector"), read("classifier")
    assert keep_pixels_in_place(detector)
    assert put_columns_together(detector)
    assert put_heads_together(detector) == 3
    assert put_answers_in_planes(detector)
    assert keep_pixels_in_place(classifier)
    assert put_columns_together(classifier)
    assert put_heads_together(classifier) == 0
    assert not put_answers_in_planes(classifier)
    glance = read("detector", "glance.onnx")
    assert keep_pixels_in_place(glance)
    assert put_neighbours_together(glance)
    assert take_the_most_first(glance) == 1
    assert put_answers_in_planes(glance)


def starting_with(kernel: int, step: int, pad: int, width: int = 48) -> Any:
    """Make a model of a single convolution of pixels, as `keep_pixels_in_place` leaves it."""
    random = np.random.default_rng(kernel * 10 + step)
    pixels = ops.parameter([2, 32, width, 3], np.uint8)
    numbers = ops.multiply(ops.convert(pixels, "f32"), ops.constant(np.float32(0.5)))
    planes = ops.transpose(numbers, ops.constant(np.array([0, 3, 1, 2])))
    weights = ops.constant(random.normal(0, 1, (4, 3, kernel, kernel)).astype(np.float32))
    pads = [pad, pad]
    return openvino.Model([ops.convolution(planes, weights, [step, step], pads, pads, [1, 1])], [pixels])


@pytest.mark.parametrize(
    ("kernel", "step", "pad"), [(3, 2, 1), (6, 4, 1), (4, 4, 0), (5, 2, 2), (7, 4, 3), (3, 3, 0), (2, 4, 0), (9, 2, 0)]
)
def test_columns_put_together_give_the_same_numbers(kernel: int, step: int, pad: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 48, 3), np.uint8)
    plain, grouped = starting_with(kernel, step, pad), starting_with(kernel, step, pad)
    assert put_columns_together(grouped)
    grouped.validate_nodes_and_infer_types()
    wanted = answers(plain, pixels)
    np.testing.assert_allclose(answers(grouped, pixels), wanted, atol=1e-4 * np.abs(wanted).max())


def going_on(model: Any, step: int, pad: int, channels: int = 4) -> Any:
    """Add a bias, a rectifier and another convolution to a model of one."""
    random = np.random.default_rng(step * 10 + pad)
    first = model.get_results()[0].input_value(0)
    bias = ops.constant(random.normal(0, 20, (1, channels, 1, 1)).astype(np.float32))
    weights = ops.constant(random.normal(0, 1, (5, channels, 3, 3)).astype(np.float32))
    pads = [pad, pad]
    second = ops.convolution(ops.relu(ops.add(first, bias)), weights, [step, step], pads, pads, [1, 1])
    return openvino.Model([second], [model.inputs[0].get_node()])


@pytest.mark.parametrize(("kernel", "step", "pad"), [(4, 4, 0), (6, 4, 1), (3, 2, 1), (5, 2, 2), (2, 4, 0), (3, 2, 0)])
@pytest.mark.parametrize(("second_step", "second_pad"), [(2, 1), (2, 0), (3, 1)])
def test_neighbours_put_together_give_the_same_numbers(
    kernel: int, step: int, pad: int, second_step: int, second_pad: int
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 48, 3), np.uint8)
    plain, wide = (going_on(starting_with(kernel, step, pad), second_step, second_pad) for _ in range(2))
    fits = (plain.get_results()[0].input_value(0).get_node().input_value(0).get_shape()[3]) % second_step == 0
    assert put_neighbours_together(wide) == fits
    wide.validate_nodes_and_infer_types()
    wanted = answers(plain, pixels)
    np.testing.assert_allclose(answers(wide, pixels), wanted, atol=1e-4 * np.abs(wanted).max())


def test_neighbours_stay_apart_where_the_second_convolution_does_not_step() -> None:
    model = going_on(starting_with(4, 4, 0), 1, 1)
    before = kinds_of(model)
    assert not put_neighbours_together(model)
    assert kinds_of(model) == before


def test_the_highest_of_several_chances_is_that_of_the_highest_logit() -> None:
    logits = ops.parameter([2, 3, 4], np.float32)
    model = openvino.Model([ops.reduce_max(ops.sigmoid(logits), ops.constant(np.array([1])), False)], [logits])
    given = np.random.default_rng(3).normal(0, 4, (2, 3, 4)).astype(np.float32)
    wanted = answers(model, given)
    assert take_the_most_first(model) == 1
    np.testing.assert_allclose(answers(model, given), wanted, atol=1e-6)


def test_a_table_that_was_made_otherwise_stays_one() -> None:
    """Score and objectness in each other's place: no table of ours."""
    levels = [ops.parameter([1, 16, size], np.float32) for size in (6, 2)]
    order = ops.constant(np.array([0, 2, 1]))
    logits = ops.concat([ops.transpose(level, order) for level in levels], 1)

    def columns(start: int, stop: int) -> Any:
        return ops.slice(logits, *(ops.constant(np.array([value])) for value in (start, stop, 1, 2)))

    def table(chance: int, objectness: int) -> Any:
        there = ops.sigmoid(columns(objectness, objectness + 1))
        score = ops.sqrt(ops.multiply(ops.sigmoid(columns(chance, chance + 1)), there))
        return openvino.Model([ops.concat([score, columns(2, 16), there], 2)], levels)

    assert put_answers_in_planes(table(0, 1))
    strange = table(1, 0)
    before = kinds_of(strange)
    assert not put_answers_in_planes(strange)
    assert kinds_of(strange) == before


@pytest.mark.parametrize(("step", "width"), [(1, 48), (2, 47)])
def test_columns_stay_apart_where_the_step_leaves_some_over(step: int, width: int) -> None:
    model = starting_with(3, step, 1, width)
    before = kinds_of(model)
    assert not put_columns_together(model)
    assert kinds_of(model) == before


def test_a_graph_that_moves_pixels_otherwise_stays_as_it_is() -> None:
    pixels = ops.parameter([1, 8, 8, 3], np.uint8)
    turned = ops.transpose(ops.convert(pixels, "f32"), ops.constant(np.array([0, 3, 2, 1])))
    weights = ops.constant(np.ones((2, 3, 3, 3), np.float32))
    model = openvino.Model([ops.convolution(turned, weights, [1, 1], [1, 1], [1, 1], [1, 1])], [pixels])
    before = kinds_of(model)
    assert not keep_pixels_in_place(model)
    assert kinds_of(model) == before


def test_heads_on_different_features_are_left_apart() -> None:
    features = [ops.parameter([1, 4, 8, 8], np.float32) for _ in range(2)]
    heads = []
    for one in features:
        mixed = ops.convolution(one, ops.constant(np.ones((2, 4, 1, 1), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])
        mixed = ops.add(mixed, ops.constant(np.zeros((1, 2, 1, 1), np.float32)))
        depth = ops.constant(np.ones((2, 1, 1, 3, 3), np.float32))
        spread = ops.group_convolution(mixed, depth, [1, 1], [1, 1], [1, 1], [1, 1])
        heads.append(ops.add(spread, ops.constant(np.zeros((1, 2, 1, 1), np.float32))))
    assert put_heads_together(openvino.Model([ops.concat(heads, 1)], features)) == 0


def test_dense_convolutions_are_not_taken_for_depthwise_ones() -> None:
    features = ops.parameter([1, 4, 8, 8], np.float32)
    heads = []
    for _ in range(2):
        mixed = ops.convolution(
            features, ops.constant(np.ones((2, 4, 1, 1), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1]
        )
        mixed = ops.add(mixed, ops.constant(np.zeros((1, 2, 1, 1), np.float32)))
        dense = ops.constant(np.ones((2, 2, 3, 3), np.float32))
        spread = ops.convolution(mixed, dense, [1, 1], [1, 1], [1, 1], [1, 1])
        heads.append(ops.add(spread, ops.constant(np.zeros((1, 2, 1, 1), np.float32))))
    assert put_heads_together(openvino.Model([ops.concat(heads, 1)], [features])) == 0
