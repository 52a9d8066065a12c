"""Decoding on a device: OpenCV stands for its engines here, and refuses what it is told to refuse."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from common import jpeg
from common.errors import BackendError, FrameRejectedError
from common.images import Picture
from common.metrics import CollectorRegistry
from common.models.torchvision_compat import jpeg_decoder
from tests.infer_backends import on_device
from workers.backends.backend import BackendOptions, load_models
from workers.backends.torch_lane import Lane
from workers.backends.torch_pixels import planes
from workers.infer.metrics import InferMetrics
from workers.infer.settings import InferSettings
from workers.infer.vision.decoding import FrameDecoder, decode_frame
from workers.infer.vision.devicedecoder import DecodingNotes, DeviceDecoder
from workers.infer.vision.deviceframe import DeviceFrame
from workers.infer.vision.opening import decoder_for

LANE = Lane(torch.device("cpu"))


class Engines:
    """Decodes lists of files, all or none of them; remembers how many it was given."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.calls: list[int] = []

    def __call__(self, files: list[Tensor]) -> list[Tensor]:
        self.calls.append(len(files))
        if len(files) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [self._one(file.numpy().tobytes()) for file in files]

    def _one(self, data: bytes) -> Tensor:
        if b"\xff\xc2" in data:
            raise RuntimeError("Failed to decode jpeg stream: 8")
        return planes(torch.from_numpy(jpeg.decode(data)))


class Notes:
    """Counts what fell back to the CPU, and names the stages."""

    def __init__(self) -> None:
        self.fallbacks = 0
        self.stages: list[str] = []

    def notes(self) -> DecodingNotes:
        return DecodingNotes(lambda stage, _seconds: self.stages.append(stage), self._more)

    def _more(self, count: int) -> None:
        self.fallbacks += count


def picture(width: int, height: int, seed: int = 0) -> Picture:
    few = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def a_jpeg(width: int, height: int, seed: int = 0, *, progressive: bool = False) -> bytes:
    done, data = cv2.imencode(".jpg", picture(width, height, seed), [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])
    assert done
    return data.tobytes()


def decoded(answers: list[DeviceFrame | FrameRejectedError]) -> list[DeviceFrame]:
    assert all(isinstance(answer, DeviceFrame) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, DeviceFrame)]


def test_a_batch_is_decoded_in_one_call_and_agrees_with_the_cpu() -> None:
    engines, notes = Engines(), Notes()
    files = [a_jpeg(1280, 720, 1), a_jpeg(640, 360, 2), a_jpeg(1281, 721, 3), a_jpeg(1280, 720, 4)]
    decoder = DeviceDecoder(LANE, engines, notes=notes.notes())
    frames = decoded(decoder.decode(files))
    decoder.close()
    assert engines.calls == [4]
    assert notes.fallbacks == 0
    assert sorted(set(notes.stages)) == ["decode", "guard"]
    for frame, data in zip(frames, files, strict=True):
        host = decode_frame(data)
        assert (frame.size, frame.whole) == (host.size, host.whole)
        assert frame.picture.shape == host.picture.shape
        # A decoder that halves while it decodes averages other numbers than one that halves afterwards.
        assert np.abs(frame.picture.astype(int) - host.picture).mean() < 1.0


def test_full_size_is_full_size() -> None:
    data = a_jpeg(1280, 720)
    decoder = DeviceDecoder(LANE, Engines(), reduced=False)
    (frame,) = decoded(decoder.decode([data]))
    decoder.close()
    assert frame.whole
    assert np.array_equal(frame.picture, jpeg.decode(data))


def test_what_the_engines_refuse_the_cpu_decodes_and_only_that() -> None:
    engines, notes = Engines(), Notes()
    files = [a_jpeg(320, 192, seed, progressive=seed == 5) for seed in range(8)]
    decoder = DeviceDecoder(LANE, engines, notes=notes.notes())
    frames = decoded(decoder.decode(files))
    decoder.close()
    assert notes.fallbacks == 1
    assert engines.calls == [8, 4, 4, 2, 1, 1, 2]
    for frame, data in zip(frames, files, strict=True):
        assert np.array_equal(frame.picture, jpeg.decode(data))


def test_the_guard_comes_first_and_each_frame_is_answered_in_its_place() -> None:
    engines = Engines()
    decoder = DeviceDecoder(LANE, engines)
    answers = decoder.decode([a_jpeg(320, 192), b"no picture", a_jpeg(64, 48), a_jpeg(320, 192)[:200], b""])
    assert decoder.decode([]) == []
    assert [isinstance(answer, DeviceFrame) for answer in answers] == [True, False, True, False, False]
    assert [a.reason for a in answers if isinstance(a, FrameRejectedError)] == ["magic", "truncated", "empty"]
    assert engines.calls == [2]
    assert [isinstance(a, FrameRejectedError) for a in decoder.decode([b"nothing"])] == [True]
    decoder.close()
    assert engines.calls == [2]


def test_what_nothing_can_decode_is_refused() -> None:
    def broken(_files: list[Tensor]) -> list[Tensor]:
        raise RuntimeError("Failed to get image info: 2")

    bad = bytearray(a_jpeg(64, 48))
    start = bad.index(b"\xff\xc0")
    bad[start + 11] = 0x00  # a sampling factor of 0, which no decoder takes
    decoder = DeviceDecoder(LANE, broken)
    good, refused = decoder.decode([a_jpeg(64, 48), bytes(bad)])
    decoder.close()
    assert isinstance(good, DeviceFrame)
    assert isinstance(refused, FrameRejectedError)


def test_engines_that_read_another_size_than_the_guard_are_not_believed() -> None:
    def other(files: list[Tensor]) -> list[Tensor]:
        return [torch.zeros((3, 4, 4), dtype=torch.uint8) for _ in files]

    notes = Notes()
    decoder = DeviceDecoder(LANE, other, notes=notes.notes())
    (frame,) = decoded(decoder.decode([a_jpeg(64, 48)]))
    decoder.close()
    assert frame.picture.shape == (48, 64, 3)
    assert notes.fallbacks == 1


def test_memory_that_runs_out_halves_the_frames_of_a_call() -> None:
    engines, notes = Engines(room=2), Notes()
    decoder = DeviceDecoder(LANE, engines, notes=notes.notes())
    decoder._pieces.most = 8
    files = [a_jpeg(64, 48, seed) for seed in range(5)]
    frames = decoded(decoder.decode(files))
    decoder.close()
    assert len(frames) == 5
    assert engines.calls == [5, 2, 2, 1]
    assert notes.fallbacks == 0


def test_without_engines_the_cpu_decodes_and_one_line_says_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    backend = on_device(*load_models(), BackendOptions())
    metrics = InferMetrics(CollectorRegistry())
    with caplog.at_level(logging.WARNING, "maskwatch.infer"):
        decoder = decoder_for(backend, InferSettings(), metrics)
    (line,) = caplog.records
    assert line.getMessage() == "gpu_decoding_unused"
    assert "nvJPEG decodes on CUDA only, not on cpu" in str(vars(line))
    assert isinstance(decoder, DeviceDecoder)
    decoder.decode([a_jpeg(64, 48), a_jpeg(64, 48)])
    decoder.close()
    assert metrics.decode_fallbacks._value.get() == 2.0


def test_a_backend_of_the_host_gets_the_decoder_of_the_host() -> None:
    decoder = decoder_for(object(), InferSettings(), InferMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    decoder.close()
    assert isinstance(decoder, FrameDecoder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_library_without_the_decoder_is_named() -> None:
    with pytest.raises(BackendError, match=r"torchvision.*nvJPEG decoder cannot be used: "):
        jpeg_decoder(torch.device("cuda"))
