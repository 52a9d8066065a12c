"""Convolutions read 8 bits where their file says in which range, and pixels exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import openvino.opset13 as ops
import pytest
from numpy.typing import NDArray

from common.errors import ManifestError
from common.models.manifest import Kind, bundled
from trainer.release.ranges import with_ranges
from workers.backends.openvino_eight_bits import Multiplier, compute_in_eight_bits, multiplier, ranges_of
from workers.backends.openvino_graph import simplify

CORE = openvino.Core()
HERE = multiplier().largest_weight
"""What overflows nowhere: answers are computed on the processor that runs the tests."""
RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.normal(0, 1, (4, 3, 3, 3)).astype(np.float32)


def answers(model: Any, given: NDArray[Any]) -> NDArray[np.float32]:
    network = CORE.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return np.array(network(given)[0])


def convolution(source: Any, weights: NDArray[np.float32], name: str) -> Any:
    node = ops.convolution(source, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1])
    node.set_friendly_name(f"{name}/WithoutBiases")
    return node


def of_numbers() -> Any:
    numbers = ops.parameter([2, 3, 16, 16], np.float32)
    return openvino.Model([convolution(numbers, WEIGHTS, "one")], [numbers])


def steps_of(model: Any) -> list[tuple[float, float, int]]:
    """The range and number of steps of everything that is not a weight."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    read = [node for node in nodes if node.input_value(0).get_node().get_type_name() != "Constant"]
    ends = [[float(node.input_value(end).get_node().get_data().item()) for end in (1, 2)] for node in read]
    return [(low, high, node.get_attributes()["levels"]) for (low, high), node in zip(ends, read, strict=True)]


@pytest.mark.parametrize(
    ("given", "used"), [((0.0, 4.0), (0.0, 4.0)), ((-3.0, 1.0), (-3 * 128 / 127, 3.0)), ((-1, 4), (-4 * 128 / 127, 4))]
)
def test_a_convolution_reads_its_range_in_256_steps(given: tuple[float, float], used: tuple[float, float]) -> None:
    model = of_numbers()
    assert compute_in_eight_bits(model, {"one": given}, HERE) == 1
    ((low, high, levels),) = steps_of(model)
    assert (low, high) == pytest.approx(used)
    assert levels == 256
    numbers = RANDOM.uniform(given[0], given[1], (2, 3, 16, 16)).astype(np.float32)
    wanted = answers(of_numbers(), numbers)
    off = np.abs(answers(model, numbers) - wanted)
    assert 0 < off.max() < 0.03 * np.abs(wanted).max()


def test_what_lies_beyond_the_range_is_taken_for_its_end() -> None:
    model = of_numbers()
    compute_in_eight_bits(model, {"one": (0.0, 1.0)}, HERE)
    ones = np.ones((2, 3, 16, 16), np.float32)
    assert np.allclose(answers(model, 5 * ones), answers(model, ones), atol=1e-4)


def test_a_convolution_without_a_range_stays_as_it_is() -> None:
    model = of_numbers()
    assert compute_in_eight_bits(model, {"another": (0.0, 1.0)}) == 0
    assert compute_in_eight_bits(model, {}) == 0
    assert steps_of(model) == []


@pytest.mark.parametrize(("kind", "file", "wanted"), [("detector", "glance.onnx", (0, 127.5)),
                                                      ("classifier", "quick.onnx", (-1, 1)),
                                                      ("classifier", "model.onnx", (-1, 1))])  # fmt: skip
def test_the_bundled_networks_read_pixels_exactly_and_answer_nearly_the_same(
    kind: Kind, file: str, wanted: tuple[float, float]
) -> None:
    side = 96 if kind == "classifier" else 128
    blotches = np.random.default_rng(3).integers(0, 256, (2, side // 16, side // 16, 3), np.uint8)
    pixels = np.ascontiguousarray(blotches.repeat(16, 1).repeat(16, 2))
    plain, model = (CORE.read_model(str(bundled(kind) / file)) for _ in range(2))
    for one in (plain, model):
        one.reshape([2, side, side, 3])
    ranges = ranges_of(model)
    simplify(plain, reduced=False)
    simplify(model, reduced=False)
    changed = compute_in_eight_bits(model, ranges, HERE)
    dense = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    assert changed >= len(dense) - 3  # heads that were put together have lost their names
    assert steps_of(model)[0][:2] == pytest.approx(wanted)
    before, after = answers(plain, pixels), answers(model, pixels)
    assert np.abs(after - before).max() / (1 + np.abs(before).max()) < 0.1


def test_the_bundled_detector_itself_stays_in_the_precision_it_was_judged_in() -> None:
    assert ranges_of(CORE.read_model(str(bundled("detector") / "model.onnx"))) == {}


def test_damaged_ranges_are_refused() -> None:
    model = onnx.load(str(bundled("classifier") / "quick.onnx"))
    held = with_ranges(model.SerializeToString(), {"one": (0.0, 1.0)}).replace(b'"one":[0.0,1.0]', b'"one":[3.0,1.0]')
    with pytest.raises(ManifestError, match=r"one: .* no range"):
        ranges_of(CORE.read_model(held))


@pytest.mark.parametrize(
    ("flags", "gains", "largest"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16", True, 127),
        ("flags\t\t: fpu avx2 avx_vnni", True, 127),
        ("flags\t\t: fpu avx2 avx512_vnni amx_bf16 amx_tile amx_int8", False, 127),
        ("flags\t\t: fpu avx2 avx512f", True, 63),
        ("flags\t\t: fpu avx2", True, 63),
        ("flags\t\t: fpu sse4_2", False, 63),
        ("Features\t: asimd asimddp", False, 63),
        ("", False, 63),
    ],
)
def test_a_processor_without_matrix_units_gains_and_one_without_vnni_spares_a_bit(
    tmp_path: Path, flags: str, gains: bool, largest: int
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\n{flags}\nbugs\t\t: avx512_vnni amx_int8\n")
    assert multiplier(told) == Multiplier(gains, largest)


def test_a_processor_that_tells_nothing_does_not_gain(tmp_path: Path) -> None:
    assert not multiplier(tmp_path / "missing").gains


def test_weights_that_spare_a_bit_cannot_overflow_16_bits() -> None:
    model = of_numbers()
    compute_in_eight_bits(model, {"one": (0.0, 1.0)}, 63)
    weights = next(
        node for node in model.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() == "Constant"
    )  # fmt: skip
    end = weights.input_value(2).get_node().get_data()
    steps = np.round(np.abs(WEIGHTS) / end * 127)
    assert steps.max(axis=(1, 2, 3)).tolist() == [63] * len(WEIGHTS)
    assert 2 * steps.max() * 255 < 2**15
    ones = np.ones((2, 3, 16, 16), np.float32)
    wanted = answers(of_numbers(), ones)
    assert np.abs(answers(model, ones) - wanted).max() < 0.05 * np.abs(wanted).max()
