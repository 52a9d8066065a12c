"""The networks against their origins: the public ONNX file, OpenCV's own decoder, and the release's two forms."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import BlobMismatchError, ManifestError
from common.images import read_picture
from common.models.decode import decode
from common.models.manifest import Kind, ModelVersion, bundled, load_version
from common.models.networks import ClassifierGraph, DetectorGraph, build_classifier, build_detector
from common.models.preprocess import face_crops, letterbox
from common.models.torch_load import fill, load_graph
from common.models.yunet import YuNet

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT.parent / "shared" / "weights"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the public weights are not beside the repository")
KINDS: tuple[Kind, ...] = ("detector", "classifier")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A public-domain portrait of one bare face that neither network was trained on."""
    return read_picture(ROOT / "producers" / "portraits" / "collins.jpg")


def public_yunet() -> YuNet:
    network = build_detector()
    network.load_state_dict(load_file(WEIGHTS / "yunet_n.safetensors"), strict=True)
    network.eval()
    return network


def run_torch(version: ModelVersion) -> Callable[[np.ndarray], np.ndarray]:
    graph = load_graph(version)

    def answer(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(pixels)).numpy())

    return answer


def run_onnxruntime(version: ModelVersion) -> Callable[[np.ndarray], np.ndarray]:
    session = onnxruntime.InferenceSession(version.read("onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: np.asarray(session.run(None, {name: pixels})[0])


def run_openvino(version: ModelVersion) -> Callable[[np.ndarray], np.ndarray]:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(version.read("onnx")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: np.asarray(next(iter(compiled(pixels).values())))


RUNNERS = {"torch": run_torch, "onnxruntime": run_onnxruntime, "openvino": run_openvino}


@needs_weights
def test_yunet_gives_what_the_public_onnx_file_gives() -> None:
    """Class, objectness, boxes and landmarks of every grid point, on random pixels."""
    pixels = np.random.default_rng(3).integers(0, 256, (1, 3, 640, 640)).astype(np.float32)
    session = onnxruntime.InferenceSession(WEIGHTS / "yunet_n_640_640.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    public = dict(zip(names, session.run(None, {"input": pixels}), strict=True))
    heads = ("cls", "obj", "bbox", "kps")
    levels = [np.concatenate([public[f"{head}_{stride}"] for head in heads], axis=-1) for stride in (8, 16, 32)]
    wanted = np.concatenate(levels, axis=1)
    with torch.inference_mode():
        logits = public_yunet()(torch.from_numpy(pixels))
    ours = torch.cat([logits[..., :2].sigmoid(), logits[..., 2:]], dim=-1).numpy()
    np.testing.assert_allclose(ours, wanted, atol=1e-4)


@needs_weights
@pytest.mark.parametrize("min_score", [0.3, 0.6])
def test_decoding_agrees_with_opencv_on_a_real_picture(portrait: np.ndarray, min_score: float) -> None:
    """cv2.FaceDetectorYN on the same pixels finds the same faces, boxes and landmarks."""
    canvas, _ = letterbox(portrait, (640, 640))
    opencv = cv2.FaceDetectorYN.create(str(WEIGHTS / "yunet_n_640_640.onnx"), "", (640, 640), min_score, 0.3)
    theirs = opencv.detect(canvas)[1]
    with torch.inference_mode():
        raw = DetectorGraph(public_yunet())(torch.from_numpy(canvas[None])).numpy()
    (ours,) = decode(raw, (640, 640), min_score, 0.3)
    assert len(ours.boxes) == len(theirs) >= 1
    sizes = np.concatenate([ours.boxes[:, :2], ours.boxes[:, 2:] - ours.boxes[:, :2]], axis=1)
    np.testing.assert_allclose(sizes, theirs[:, :4], atol=0.05)
    np.testing.assert_allclose(ours.landmarks.reshape(-1, 10), theirs[:, 4:14], atol=0.05)
    np.testing.assert_allclose(ours.scores, theirs[:, 14], atol=1e-3)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_bundled_release_answers_its_probe_in_every_runtime(kind: Kind, runner: str) -> None:
    version = load_version(bundled(kind), kind)
    version.manifest.probe.check(RUNNERS[runner](version)(version.manifest.probe.pixels()))


@pytest.mark.parametrize("runner", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("canvas", [(640, 384), (320, 192)])
def test_torch_and_onnx_find_the_same_faces(portrait: np.ndarray, runner: str, canvas: tuple[int, int]) -> None:
    version = load_version(bundled("detector"), "detector")
    pixels = np.stack([letterbox(portrait, canvas)[0]] * 3)
    thresholds = version.manifest.thresholds
    answers = [
        decode(run(version)(pixels), canvas, thresholds["score"], thresholds["iou"])
        for run in (run_torch, RUNNERS[runner])
    ]
    assert len(answers[0]) == len(answers[1]) == 3
    assert len(answers[0][0].boxes) == 1
    np.testing.assert_allclose(answers[0][2].boxes, answers[1][2].boxes, atol=0.1)


def test_the_bundled_release_sees_one_bare_face_on_a_portrait_with_nothing_drawn_on(portrait: np.ndarray) -> None:
    """End to end on a public-domain portrait that neither network was trained on."""
    detector, classifier = (
        load_version(bundled("detector"), "detector"),
        load_version(bundled("classifier"), "classifier"),
    )
    pixels, fit = letterbox(portrait, (640, 640))
    thresholds = detector.manifest.thresholds
    (found,) = decode(run_openvino(detector)(pixels[None]), (640, 640), thresholds["score"], thresholds["iou"])
    assert len(found.boxes) == 1
    about = classifier.classifier_input
    crops = face_crops(portrait, fit.to_picture(found.boxes), about.side, about.margin)
    (probabilities,) = run_openvino(classifier)(crops)
    assert classifier.manifest.classes[int(probabilities.argmax())] == "no_mask"
    assert probabilities.sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        ("mobilenet_v2", 2_388_227),
        ("mobilenet_v2_dense", 2_394_011),
        ("resnet50", 23_770_691),
        ("resnet_tiny", 505_083),
    ],
)
def test_classifiers_map_crops_to_three_probabilities(architecture: str, count: int) -> None:
    network = build_classifier(architecture)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    with torch.inference_mode():
        probabilities = ClassifierGraph(network.eval(), 2.0)(torch.zeros((2, 64, 64, 3), dtype=torch.uint8))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(dim=1).numpy(), 1, atol=1e-5)


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="mobilenet_v2"):
        build_classifier("vgg")
    with pytest.raises(ValueError, match="yunet_n"):
        build_detector("ssd")


def tampered(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> ModelVersion:
    """A detector whose weights were changed and whose manifest was made to fit again."""
    import hashlib
    import json

    copy = Path(shutil.copytree(bundled("detector"), tmp_path / "detector"))
    tensors = load_file(copy / "weights.safetensors")
    change(tensors)
    save_file(tensors, copy / "weights.safetensors")
    data = (copy / "weights.safetensors").read_bytes()
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["blobs"]["safetensors"] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return load_version(copy, "detector")


NAME = "backbone.model0.conv1.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.__setitem__("other.name", tensors.pop(NAME)), "missing .*model0.* unknown .*other"),
        (lambda tensors: tensors.__setitem__(NAME, tensors[NAME][:8].clone()), "shape"),
        (lambda tensors: tensors[NAME].view(-1).__setitem__(0, float("nan")), "not finite"),
        (lambda tensors: tensors.__setitem__(NAME, tensors[NAME].int()), "int32"),
    ],
    ids=["renamed", "reshaped", "nan", "integers"],
)
def test_weights_that_do_not_fit_the_network_are_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], words: str
) -> None:
    version = tampered(tmp_path, change)
    with pytest.raises(ManifestError, match=words):
        load_graph(version)


def test_weights_swapped_after_verification_are_not_parsed(tmp_path: Path) -> None:
    version = load_version(Path(shutil.copytree(bundled("detector"), tmp_path / "d")), "detector")
    version.safetensors_path.write_bytes(b"\0" * version.manifest.blobs["safetensors"].size)
    with pytest.raises(BlobMismatchError):
        load_graph(version)


def test_a_network_that_was_not_filled_stays_as_it_was() -> None:
    network = build_detector()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    broken = {name: tensor + 1 for name, tensor in before.items()}
    broken[NAME] = torch.zeros(1)
    with pytest.raises(ManifestError):
        fill(network, broken, Path("w.safetensors"))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
