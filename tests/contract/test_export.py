"""The ONNX export: torch, onnxruntime and OpenVINO agree, for any batch and canvas, on what cameras show.

Tolerances, all computing in float32 on one CPU. Two runtimes on one file: 2e-4 in probabilities and strides, 5e-4 in
scores, which are square roots, steep near 0. The file against torch: 5e-3 in scores, 0.02 of a stride, 3e-3 in
probabilities, since the exporter folds batch norm into the matrices before they are rounded to half precision, and
torch rounds first and normalises afterwards. Offsets are compared where the score is at least
0.05; nobody reads the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import pytest
import torch

from common.images import blur, read_picture, resize, through_jpeg
from common.models.manifest import Kind, bundled, load_version
from common.models.networks import ClassifierGraph, DetectorGraph, build_classifier, build_detector
from common.models.preprocess import face_crops, letterbox
from common.models.torch_load import load_graph
from trainer.release.onnx_export import export_onnx

PORTRAITS = Path(__file__).resolve().parents[2] / "producers" / "portraits"
CANVASES = ((640, 384), (384, 640), (640, 640), (320, 192), (960, 544), (96, 32))
BATCHES = (1, 3, 8)
SAME_FILE = {"score": 5e-4, "offset": 2e-4, "probability": 2e-4}
AGAINST_TORCH = {"score": 5e-3, "offset": 0.02, "probability": 3e-3}
READ_FROM = 0.05
Answer = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def on_torch(graph: torch.nn.Module) -> Answer:
    def answer(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(graph.eval()(torch.from_numpy(pixels)).numpy())

    return answer


def on_onnxruntime(onnx: bytes) -> Answer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: np.asarray(session.run(None, {name: pixels})[0])


def on_openvino(onnx: bytes) -> Answer:
    core = openvino.Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(onnx), "CPU", settings)
    return lambda pixels: np.array(next(iter(compiled(pixels).values())))


@cache
def released(kind: Kind) -> dict[str, Answer]:
    """One session a runtime, used for all shapes: the dimensions are truly dynamic."""
    version = load_version(bundled(kind), kind)
    onnx = version.read("onnx")
    return {
        "torch": on_torch(load_graph(version)),
        "onnxruntime": on_onnxruntime(onnx),
        "openvino": on_openvino(onnx),
    }


@cache
def views() -> tuple[np.ndarray, ...]:
    """Two public-domain portraits, and as cameras spoil them: side by side, small, blurred, dark, JPEG, mirrored."""
    plain = [read_picture(PORTRAITS / f"{name}.jpg") for name in ("collins", "hopper")]
    heights = [resize(picture, (picture.shape[1] * 300 // picture.shape[0], 300)) for picture in plain]
    together = np.concatenate(heights, axis=1)
    small = np.zeros((360, 640, 3), np.uint8)
    small[100:160, 300:360] = resize(plain[0], (60, 60))
    dark = (plain[1] * 0.3).astype(np.uint8)
    return (*plain, together, small, blur(plain[0], 3.0), dark, through_jpeg(plain[1], 30), plain[0][:, ::-1].copy())


def canvases(count: int, canvas: tuple[int, int]) -> np.ndarray:
    return np.stack([letterbox(picture, canvas)[0] for picture in views()[:count]])


def crops(count: int, side: int, margin: float) -> np.ndarray:
    """Squares at different places and scales of the views."""
    boxes = [[width * 0.3, height * 0.1, width * 0.7, height * 0.6] for height, width, _ in map(np.shape, views())]
    cut = [face_crops(view, np.array(box), side, margin)[0] for view, box in zip(views(), boxes, strict=True)]
    return np.stack(cut[:count])


def assert_same_faces(one: np.ndarray, other: np.ndarray, tolerance: dict[str, float]) -> None:
    np.testing.assert_allclose(one[..., [0, 15]], other[..., [0, 15]], atol=tolerance["score"], rtol=0)
    read = one[..., 0] >= READ_FROM
    np.testing.assert_allclose(one[read][:, 1:15], other[read][:, 1:15], atol=tolerance["offset"], rtol=0)


@pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: f"{canvas[0]}x{canvas[1]}")
def test_the_detector_answers_alike_for_every_batch_and_canvas(canvas: tuple[int, int]) -> None:
    for batch in BATCHES:
        pixels = canvases(batch, canvas)
        torch_, onnxruntime_, openvino_ = (answer(pixels) for answer in released("detector").values())
        assert_same_faces(torch_, onnxruntime_, AGAINST_TORCH)
        assert_same_faces(torch_, openvino_, AGAINST_TORCH)
        assert_same_faces(onnxruntime_, openvino_, SAME_FILE)
        assert min(canvas) < 300 or (torch_[..., 0].max(axis=1) > 0.5).any(), "no face in sight: nothing was tested"


@pytest.mark.parametrize("batch", BATCHES)
def test_the_classifier_answers_alike_for_every_batch(batch: int) -> None:
    about = load_version(bundled("classifier"), "classifier").classifier_input
    pixels = crops(batch, about.side, about.margin)
    torch_, onnxruntime_, openvino_ = (answer(pixels) for answer in released("classifier").values())
    np.testing.assert_allclose(onnxruntime_, torch_, atol=AGAINST_TORCH["probability"], rtol=0)
    np.testing.assert_allclose(openvino_, torch_, atol=AGAINST_TORCH["probability"], rtol=0)
    np.testing.assert_allclose(openvino_, onnxruntime_, atol=SAME_FILE["probability"], rtol=0)
    assert batch == 1 or np.ptp(torch_, axis=0).max() > 0.01


@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_a_picture_gets_the_same_answer_alone_and_in_company(kind: Kind) -> None:
    side = load_version(bundled("classifier"), "classifier").classifier_input.side
    pixels = canvases(8, (320, 192)) if kind == "detector" else crops(8, side, 0.25)
    for name, answer in released(kind).items():
        alone = np.concatenate([answer(pixels[index : index + 1]) for index in range(8)])
        if kind == "detector":
            assert_same_faces(alone, answer(pixels), SAME_FILE)
        else:
            np.testing.assert_allclose(alone, answer(pixels), atol=SAME_FILE["probability"], err_msg=name)


@pytest.mark.slow
def test_a_network_just_built_is_exported_as_it_is() -> None:
    """Not only the weights that shipped: other weights, and another input side for the classifier."""
    torch.manual_seed(5)
    detector = DetectorGraph(halved(build_detector())).eval()
    onnx = export_onnx(detector, "detector")
    for runtime in (on_onnxruntime(onnx), on_openvino(onnx)):
        pixels = canvases(3, (320, 192))
        np.testing.assert_allclose(runtime(pixels), on_torch(detector)(pixels), atol=AGAINST_TORCH["offset"])
    classifier = ClassifierGraph(halved(build_classifier("mobilenet_v2")), 1.5).eval()
    onnx = export_onnx(classifier, "classifier", 96)
    for runtime in (on_onnxruntime(onnx), on_openvino(onnx)):
        pixels = crops(3, 96, 0.1)
        np.testing.assert_allclose(runtime(pixels), on_torch(classifier)(pixels), atol=AGAINST_TORCH["probability"])


def halved(network: Any) -> Any:
    """Round matrices as they are stored, so that torch computes with the file's numbers."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    return network.eval()
