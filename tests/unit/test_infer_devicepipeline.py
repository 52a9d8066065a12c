"""The pipeline on a device beside the one on the host: same faces from the same frames, and what memory does to it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from maskwatch.bench.frames import bench_frames
from maskwatch.bench.gpuparity import Parity, compare
from tests.infer_backends import on_device
from tests.unit.test_infer_devicedecoder import Engines
from workers.backends import backend as backends
from workers.backends.backend import BackendOptions, load_models, open_backend
from workers.backends.torch_backend import TorchBackend, why_no_cuda
from workers.infer.vision.decoding import decode_frame
from workers.infer.vision.devicedecoder import DeviceDecoder
from workers.infer.vision.deviceframe import DeviceFrame
from workers.infer.vision.devicepipeline import DevicePipeline
from workers.infer.vision.face import Face
from workers.infer.vision.opening import pipeline_for
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings
from workers.infer.vision.readable import Readable


@functools.cache
def device() -> TorchBackend:
    made = on_device(*load_models(), BackendOptions())
    assert isinstance(made, TorchBackend)
    return made


@functools.cache
def frames() -> list[bytes]:
    return bench_frames(6)


@functools.cache
def host_faces() -> list[list[Face]]:
    backend = open_backend("torch", *load_models(), BackendOptions(device="cpu"))
    pipeline = FacePipeline(backend, *load_models(), PipelineSettings(glance=False, quick=False))
    found = pipeline.look([decode_frame(data) for data in frames()])
    backend.close()
    return found


def decoded() -> list[Readable]:
    decoder = DeviceDecoder(device().lane, Engines())
    answers = decoder.decode(frames())
    decoder.close()
    assert all(isinstance(answer, DeviceFrame) for answer in answers)
    return [answer for answer in answers if isinstance(answer, DeviceFrame)]


def pipeline() -> DevicePipeline:
    made = pipeline_for(device(), load_models())
    assert isinstance(made, DevicePipeline)
    return made


def test_the_same_faces_are_found_in_the_same_frames() -> None:
    parity = compare(pipeline().look(decoded()), host_faces())
    assert parity.faces >= 18
    assert parity.within(), parity


def test_frames_of_the_host_among_those_of_the_device_make_no_difference() -> None:
    mixed: list[Readable] = [*decoded()[:3], *(decode_frame(data) for data in frames()[3:])]
    assert compare(pipeline().look(mixed), host_faces()).within()


def test_pixels_come_to_the_host_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    original = device().lane.to_host

    def to_host(tensor: Tensor) -> object:
        copied.append(tensor.numel() * tensor.element_size())
        return original(tensor)

    monkeypatch.setattr(device().lane, "to_host", to_host)
    seen = decoded()
    pipeline().look(seen)
    assert sum(copied) < 6 * 20_000  # candidates and probabilities; one reduced picture has 691,200 bytes
    assert seen[0].picture.shape == (360, 640, 3)
    assert copied[-1] == 640 * 360 * 3


def test_memory_that_runs_out_halves_the_frames_and_loses_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, sizes = TorchBackend.detect_there, []

    def detect_there(self: TorchBackend, canvases: Tensor) -> Tensor:
        sizes.append(len(canvases))
        if len(canvases) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        return original(self, canvases)

    monkeypatch.setattr(TorchBackend, "detect_there", detect_there)
    reader = pipeline()
    with caplog.at_level(logging.WARNING, "maskwatch.infer"):
        found = reader.look(decoded())
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    assert compare(found, host_faces()).within()
    assert {record.getMessage() for record in caplog.records} == {"device_memory"}
    reader.look(decoded()[:2])
    assert sizes[-2:] == [1, 1]


def test_too_many_crops_for_the_memory_are_cut_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipeline()
    reader._cuts.most = 2
    assert compare(reader.look(decoded()), host_faces()).within()


def test_stages_are_timed_by_the_same_names() -> None:
    stages: list[str] = []
    pipeline_for(device(), load_models(), None, lambda stage, _s: stages.append(stage)).look(decoded())
    assert stages == ["resize", "detect", "boxes", "crop", "classify"]


def a_face(x: float, label: int = 0, score: float = 0.9) -> Face:
    chances = [0.05, 0.05, 0.05]
    chances[label] = 0.9
    return Face((x, 0, x + 40, 40), score, (chances[0], chances[1], chances[2]), (), 100.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "well"),
    [
        ([[a_face(0)]], [[a_face(0.5)]], True),
        ([[a_face(0)]], [[a_face(20)]], False),  # elsewhere
        ([[a_face(0)], []], [[a_face(0)], [a_face(0)]], False),  # missing
        ([[a_face(0, 1)]], [[a_face(0, 0)]], False),  # another verdict
        ([[a_face(0, score=0.6)]], [[a_face(0)]], False),  # another score
        ([[]], [[]], True),
    ],
)
def test_parity_tells_what_differs(ours: list[list[Face]], theirs: list[list[Face]], well: bool) -> None:
    assert compare(ours, theirs).within() is well


def test_parity_of_one_more_face_near_the_threshold_in_a_thousand_is_within() -> None:
    many: Sequence[Sequence[Face]] = [[a_face(50 * k) for k in range(20)]] * 50
    more = [[*many[0], a_face(5000)], *many[1:]]
    parity = compare(more, many)
    assert (parity.faces, parity.only_here, parity.only_there) == (1000, 1, 0)
    assert parity.within()
    assert isinstance(parity, Parity)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_torch_without_a_gpu_falls_back_with_one_line_that_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: object
) -> None:
    monkeypatch.setattr(backends, "_DRIVER_MARKS", (type(backends._DRIVER_MARKS[0])("/"),))
    with caplog.at_level(logging.WARNING, "maskwatch.infer"):
        chosen = open_backend("auto", *load_models())
    assert chosen.name.startswith("openvino")
    (line,) = caplog.records
    assert line.getMessage() == "gpu_unused"
    assert why_no_cuda() in str(vars(line))


def test_a_gpu_without_torch_is_named_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(backends, "_DRIVER_MARKS", (type(backends._DRIVER_MARKS[0])("/"),))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with caplog.at_level(logging.WARNING, "maskwatch.infer"):
        assert open_backend("auto", *load_models()).name.startswith("openvino")
    (line,) = caplog.records
    assert "torch is not installed" in str(vars(line))


def test_an_empty_batch_is_answered() -> None:
    assert pipeline().look([]) == []
    assert pipeline().read([np.zeros((360, 640, 3), np.uint8)]) == [[]]
