"""One contract for all backends: shapes, order, empty batches, refusals, and that they agree with one another."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import BackendError, BlobMismatchError, ManifestError, ProbeError
from common.models.manifest import bundled, load_version
from workers.backends.backend import Backend, BackendOptions, Pixels, glancing, load_models, open_backend, quick

ON_DEVICE = "tests.infer_backends:on_device"
KINDS = [
    "openvino",
    "torch-cpu",
    ON_DEVICE,
    "openvino-cpu-int8",
    *(["torch-cuda"] if torch.cuda.is_available() else []),
]
CANVASES = [(640, 384), (192, 320)]
SIDE = load_version(bundled("classifier"), "classifier").classifier_input.side


@functools.cache
def opened(kind: str) -> Backend:
    name, device, eight_bits = (*kind.split("-"), "", "")[:3]
    options = BackendOptions(device=device or "auto", eight_bits="on" if eight_bits else "off")
    return open_backend(name, *load_models(), options)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return opened(request.param)


def pictures(count: int, size: tuple[int, int], seed: int = 0) -> Pixels:
    """Blotchy colour pictures, (width, height) px: smooth enough that rounding does not decide the answer."""
    blotches = np.random.default_rng(seed).integers(0, 255, (count, size[1] // 16, size[0] // 16, 3), np.uint8)
    return np.ascontiguousarray(blotches.repeat(16, 1).repeat(16, 2))


@pytest.mark.parametrize("canvas", CANVASES)
@pytest.mark.parametrize("count", [5])
def test_detect_gives_one_row_for_each_grid_point_of_each_canvas(
    backend: Backend, canvas: tuple[int, int], count: int
) -> None:
    raw = backend.detect(pictures(count, canvas))
    points = sum((canvas[0] // stride) * (canvas[1] // stride) for stride in (8, 16, 32))
    assert raw.shape == (count, points, 16)
    assert raw.dtype == np.float32
    assert np.isfinite(raw).all()
    assert ((raw[..., 0] >= 0) & (raw[..., 0] <= 1)).all()


@pytest.mark.parametrize("count", [1, 3, 21])
def test_classify_gives_probabilities_that_add_up_to_one(backend: Backend, count: int) -> None:
    probabilities = backend.classify(pictures(count, (SIDE, SIDE)))
    assert probabilities.shape == (count, 3)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=0.01)


def test_empty_batches_give_empty_answers(backend: Backend) -> None:
    assert backend.detect(np.empty((0, 384, 640, 3), np.uint8)).shape == (0, 5040, 16)
    assert backend.classify(np.empty((0, SIDE, SIDE, 3), np.uint8)).shape == (0, 3)


def test_a_picture_is_answered_alike_alone_and_among_others_and_in_its_place(backend: Backend) -> None:
    canvases, crops = pictures(6, (320, 192)), pictures(23, (SIDE, SIDE))
    together, alone = backend.detect(canvases), [backend.detect(canvases[k : k + 1])[0] for k in range(6)]
    tolerance = 0.05 if backend.reduced else 1e-3
    assert np.abs(together - np.stack(alone)).max() <= tolerance * (1 + np.abs(together).max())
    some = [0, 15, 16, 19, 22]
    together, alone = backend.classify(crops), [backend.classify(crops[k : k + 1])[0] for k in some]
    assert np.abs(together[some] - np.stack(alone)).max() <= tolerance
    order = np.random.default_rng(1).permutation(23)
    assert np.abs(backend.classify(crops[order]) - together[order]).max() <= tolerance


def test_all_backends_agree_with_single_precision_torch(backend: Backend) -> None:
    reference = opened("torch-cpu")
    canvases, crops = pictures(3, (640, 384), seed=4), pictures(9, (SIDE, SIDE), seed=5)
    detector, classifier = load_models()
    wide = backend.reduced
    limits = [
        m.manifest.probe.tolerance_reduced if wide else m.manifest.probe.tolerance for m in (detector, classifier)
    ]
    expected, found = reference.detect(canvases), backend.detect(canvases)
    assert (np.abs(found - expected) / (1 + np.abs(expected))).max() <= limits[0]
    assert np.abs(backend.classify(crops) - reference.classify(crops)).max() <= limits[1]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 384, 640, 3), np.float32),  # another type
        np.zeros((384, 640, 3), np.uint8),  # no batch
        np.zeros((1, 384, 640, 1), np.uint8),  # grey
        np.zeros((1, 100, 640, 3), np.uint8),  # no multiple of 32
    ],
)
def test_detect_refuses_other_shapes_and_says_what_it_found(backend: Backend, wrong: Pixels) -> None:
    with pytest.raises(ValueError, match=r"canvases: .* where uint8 \(B, H, W, 3\)"):
        backend.detect(wrong)


def test_classify_refuses_crops_of_another_side(backend: Backend) -> None:
    with pytest.raises(ValueError, match=rf"crops: uint8 \(2, 72, 72, 3\) where uint8 \(N, {SIDE}, {SIDE}, 3\)"):
        backend.classify(np.zeros((2, 72, 72, 3), np.uint8))


def test_warming_up_changes_no_answer(backend: Backend) -> None:
    crops = pictures(2, (SIDE, SIDE))
    before = backend.classify(crops)
    backend.warm_up([(320, 192)], 4)
    assert np.array_equal(before, backend.classify(crops))


def copied(kind: str, folder: Path) -> Path:
    shutil.copytree(bundled(kind), folder / kind)  # type: ignore[arg-type]
    return folder / kind


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_a_version_of_the_other_kind_is_refused(name: str) -> None:
    detector, classifier = load_models()
    with pytest.raises(ManifestError):
        open_backend(name, classifier, detector)


@pytest.mark.parametrize(("name", "blob"), [("openvino", "model.onnx"), ("torch", "weights.safetensors")])
def test_weights_that_changed_after_they_were_verified_are_refused(name: str, blob: str, tmp_path: Path) -> None:
    version = load_version(copied("detector", tmp_path), "detector")
    path = version.directory / blob
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BlobMismatchError, match=blob):
        open_backend(name, version, load_models()[1], BackendOptions(device="cpu"))


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_a_version_that_does_not_answer_its_probe_is_refused(name: str, tmp_path: Path) -> None:
    folder = copied("classifier", tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["probe"]["expected"][0] = (
        [0.9, 0.05, 0.05] if manifest["probe"]["expected"][0][0] < 0.5 else [0.0, 0.5, 0.5]
    )
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProbeError, match="off by"):
        open_backend(name, load_models()[0], load_version(folder, "classifier"), BackendOptions(device="cpu"))


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("openvin", "auto", "not known; use auto, openvino, torch"),
        ("openvino", "cuda", "needs backend torch"),
        ("torch", "toaster", "not known to torch"),
        ("no.such:thing", "auto", "cannot be imported"),
        ("json:nothing", "auto", "cannot be imported"),
        ("json:__name__", "auto", "no callable"),
    ],
)
def test_a_backend_that_cannot_be_had_says_why(name: str, device: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        open_backend(name, *load_models(), BackendOptions(device=device))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(BackendError, match="no CUDA device here"):
        open_backend("torch", *load_models(), BackendOptions(device="cuda"))


def test_a_backend_of_ones_own_is_named_by_its_dotted_path() -> None:
    backend = open_backend("tests.infer_backends:killing", *load_models())
    assert backend.classify(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape == (1, 3)


def test_an_unwritable_cache_folder_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = BackendOptions(cache_dir=tmp_path / "file" / "cache")
    assert open_backend("openvino", *load_models(), options).name.startswith("openvino-cpu")


def test_a_glance_is_answered_alike_alone_and_among_others(backend: Backend) -> None:
    glances = glancing(backend, load_models()[0])
    if glances is None:
        pytest.skip("this backend does not glance")
    canvases = pictures(6, (320, 192))
    together, alone = glances.glance(canvases), [glances.glance(canvases[k : k + 1])[0] for k in range(6)]
    assert together.shape == (6, 40 * 24 + 20 * 12 + 10 * 6, 17)
    assert np.abs(together - np.stack(alone)).max() <= (0.05 if backend.reduced else 1e-3) * (
        1 + np.abs(together).max()
    )
    assert ((together[..., 16] >= 0) & (together[..., 16] <= 1)).all()
    assert (together[:, 40 * 24 :, 16] == 0).all()
    facts = load_models()[0].manifest.glance
    assert facts is not None
    facts.probe.check(glances.glance(facts.probe.pixels()), reduced=backend.reduced)
    with pytest.raises(ValueError, match="multiples of 32"):
        glances.glance(np.zeros((1, 100, 320, 3), np.uint8))


def test_the_small_network_answers_alike_alone_and_among_others(backend: Backend) -> None:
    small = quick(backend, load_models()[1])
    if small is None:
        pytest.skip("this backend has no small network")
    crops = pictures(23, (SIDE, SIDE))
    together = small.classify_quick(crops)
    assert np.allclose(together.sum(axis=1), 1, atol=0.01)
    some = [0, 15, 16, 19, 22]
    alone = [small.classify_quick(crops[k : k + 1])[0] for k in some]
    assert np.abs(together[some] - np.stack(alone)).max() <= (0.05 if backend.reduced else 1e-3)
    with pytest.raises(ValueError, match="crops: "):
        small.classify_quick(np.zeros((1, SIDE + 8, SIDE, 3), np.uint8))
