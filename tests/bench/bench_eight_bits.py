"""What 8 bits bring to each network of the release on this processor.

``python -m tests.bench.bench_eight_bits``: every network that holds ranges is computed with and without them, in turn
on one thread, in bfloat16 (where the processor has it) and in single precision. Prints a Markdown table: microseconds
for one picture or face, lower quartiles, and the ratio with its quartiles over rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino

from common.models.manifest import BlobName, Kind, bundled, load_version
from workers.backends.openvino_eight_bits import compute_in_eight_bits, multiplier, ranges_of
from workers.backends.openvino_graph import simplify

NETWORKS: tuple[tuple[str, Kind, BlobName, tuple[int, ...]], ...] = (
    ("glance", "detector", "glance", (4, 192, 320, 3)),
    ("small network", "classifier", "quick", (16, 96, 96, 3)),
    ("classifier", "classifier", "onnx", (8, 96, 96, 3)),
)
ROUNDS, EACH = 80, 3
CORE = openvino.Core()


def runner(data: bytes, shape: tuple[int, ...], hint: str, *, eight_bits: bool) -> Callable[[], None]:
    """Compile a network as the backend does, and give what computes it once."""
    model = CORE.read_model(data)
    model.reshape(list(shape))
    ranges = ranges_of(model) if eight_bits else {}
    simplify(model, reduced=hint == "bf16" and not ranges)
    compute_in_eight_bits(model, ranges, multiplier().largest_weight)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request: Any = CORE.compile_model(model, "CPU", settings).create_infer_request()
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    request.set_input_tensor(openvino.Tensor(pixels))
    return request.infer  # type: ignore[no-any-return]


def took(run: Callable[[], None]) -> float:
    """Give the seconds of one call."""
    began = time.perf_counter()
    for _ in range(EACH):
        run()
    return (time.perf_counter() - began) / EACH


def main() -> None:
    """Measure and print."""
    hints = ["f32", *(["bf16"] if "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else [])]
    print(f"8 bits are {'used' if multiplier().gains else 'not used'} here unless a setting says otherwise\n")
    print("| network | without 8 bits | µs | with | ratio |\n|---|---|---|---|---|")
    for name, kind, blob, shape in NETWORKS:
        data = load_version(bundled(kind), kind).read(blob)
        for hint in hints:
            plain, stepped = (runner(data, shape, hint, eight_bits=eight) for eight in (False, True))
            pairs = [(took(plain), took(stepped)) for _ in range(ROUNDS)]
            before, after = (statistics.quantiles(times, n=4)[0] / shape[0] * 1e6 for times in zip(*pairs, strict=True))
            low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
            print(f"| {name} | {hint} | {before:.0f} | {after:.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
