"""One GPU against its own limits: JPEG to results, decoding alone, the networks alone, all in turn on the same frames.

No broker: what the host can put through one is measured by ``bench cpu`` and ``bench broker``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import chain
from typing import TypeVar

import numpy as np

from common.errors import BackendError, FrameRejectedError
from common.models.manifest import ModelVersion
from maskwatch.bench.frames import bench_frames
from maskwatch.bench.gpuparity import compare
from maskwatch.bench.gpureport import GpuReport
from workers.backends.backend import Backend, BackendOptions, load_models, open_backend
from workers.backends.torch_lane import Lane
from workers.infer.vision.decoding import decode_frame
from workers.infer.vision.devicedecoder import DecodingNotes, DeviceDecoder
from workers.infer.vision.devicepipeline import DevicePipeline
from workers.infer.vision.opening import hardware_for, pipeline_for
from workers.infer.vision.pipeline import FacePipeline, PipelineSettings
from workers.infer.vision.readable import Readable

SIZE = (1280, 720)
CANVAS = (384, 640)
"""Rows and columns of the canvas that such frames need."""
FRAMES = 64
FACTORY = "workers.backends.torch_backend:kept_on_device"
LEAST_ROUNDS = 3
LONGEST_PART_S = 0.5
"""About how long one measurement of a round takes at most."""

_T = TypeVar("_T")


class GpuBench:
    """Measures for a while.

    Args:
        seconds: About how long all rounds together may take.
        device: ``cuda``, ``cuda:1`` and so on; ``cpu`` takes the same way on the CPU, to try it.
        batch: Frames of a batch.
        frames: Different frames.
    """

    def __init__(self, seconds: float, device: str, batch: int, frames: int = FRAMES) -> None:
        self._seconds = seconds
        self._device = device
        self._batch = batch
        self._count = frames
        self.report = GpuReport(batch=batch)

    def run(self) -> GpuReport:
        """Measure.

        Raises:
            BackendError: The device, its driver or a library is not there.
            FrameRejectedError: A frame of the bench was refused.
        """
        models = load_models()
        with ExitStack() as stack:
            # On a busy CPU several threads wait for one another more than they compute.
            options = BackendOptions(device=self._device, threads=1)
            # First of all: without the device nothing else is worth a second.
            backend = stack.enter_context(closing(open_backend(FACTORY, *models, options)))
            pipeline = pipeline_for(backend, models)
            if not isinstance(pipeline, DevicePipeline):
                raise BackendError(f"backend {backend.name} does not keep pictures on its device")
            hardware = hardware_for(pipeline.lane.device)
            notes = DecodingNotes(fallback=self._fell_back)
            decoder = DeviceDecoder(Lane(pipeline.lane.device), hardware, notes=notes)
            stack.callback(decoder.close)
            self.report.decoder = "nvjpeg" if hardware else "cpu"
            files = bench_frames(self._count, SIZE)
            began = time.perf_counter()
            pipeline.warm_up(self._batch)
            self.report.warm_up_s = time.perf_counter() - began
            self.report.parity, self.report.reference = self._parity(pipeline, decoder, files, models)
            self._rounds(_Work(pipeline, decoder, batches_of(files, self._batch)))
            self.report.about = pipeline.lane.about()
        return self.report

    def _fell_back(self, count: int) -> None:
        self.report.fallbacks += count

    def _parity(
        self,
        pipeline: DevicePipeline,
        decoder: DeviceDecoder,
        files: Sequence[bytes],
        models: tuple[ModelVersion, ModelVersion],
    ) -> tuple[dict[str, object], str]:
        """Look at all frames both ways."""
        there = decoded(decoder, files)
        here = [decode_frame(data) for data in files]
        with closing(_reference(models)) as backend:
            found = FacePipeline(backend, *models, PipelineSettings(glance=False, quick=False)).look(here)
            name = backend.name
        pixels = [
            float(np.abs(a.picture.astype(np.int16) - b.picture).mean()) for a, b in zip(there, here, strict=True)
        ]
        ours = pipeline.look(there)
        self.report.faces_per_frame = sum(map(len, ours)) / len(ours)
        return {**compare(ours, found).as_dict(), "pixels_off": round(max(pixels), 3)}, name

    def _rounds(self, work: _Work) -> None:
        parts = {"decode_fps": work.decoding, "networks_fps": work.networks, "looking_fps": work.looking}
        parts["fps"] = work.whole
        part_s = min(LONGEST_PART_S, self._seconds / (5 * LEAST_ROUNDS * len(parts)))
        turns = {name: turns_in(part_s, part) for name, part in parts.items()}
        deadline, rounds = time.monotonic() + self._seconds, self.report.rounds
        while time.monotonic() < deadline or len(rounds.values.get("fps", ())) < LEAST_ROUNDS:
            for name, part in parts.items():
                began, used = time.perf_counter(), time.process_time()
                frames = part(turns[name])
                rounds.note(name, frames / (time.perf_counter() - began))
                if name == "fps":
                    rounds.note("host_ms", 1000 * (time.process_time() - used) / frames)


class _Work:
    """What is measured; each gives the frames that it got done in so many batches."""

    def __init__(self, pipeline: DevicePipeline, decoder: DeviceDecoder, batches: Sequence[list[bytes]]) -> None:
        self._pipeline = pipeline
        self._decoder = decoder
        self._batches = batches
        self._seen = [decoded(decoder, batch) for batch in batches]
        side = pipeline.classifier.classifier_input.side
        with pipeline.lane.entered():
            self._inputs = [
                (
                    pipeline.lane.to_device(np.zeros((len(batch), *CANVAS, 3), np.uint8)),
                    pipeline.lane.to_device(np.zeros((sum(map(len, pipeline.look(batch))), side, side, 3), np.uint8)),
                )
                for batch in self._seen
            ]

    def decoding(self, turns: int) -> int:
        """Decode."""
        return sum(len(decoded(self._decoder, batch)) for batch in self._some(self._batches, turns))

    def networks(self, turns: int) -> int:
        """Both networks on as many canvases and crops as the frames give, and nothing else."""
        lane, backend = self._pipeline.lane, self._pipeline.backend
        with lane.entered():
            for canvases, faces in self._some(self._inputs, turns):
                backend.detect_there(canvases)
                if len(faces):
                    backend.classify_there(faces)
            lane.wait()
        return sum(len(canvases) for canvases, _ in self._some(self._inputs, turns))

    def looking(self, turns: int) -> int:
        """Do all that comes after decoding."""
        return sum(len(self._pipeline.look(batch)) for batch in self._some(self._seen, turns))

    def whole(self, turns: int) -> int:
        """JPEG to results as a worker does it: one batch is decoded while the one before is looked at."""
        done = 0
        ahead: Future[list[Readable]] | None = None
        with ThreadPoolExecutor(1) as pool:
            for batch in chain(self._some(self._batches, turns), [None]):
                coming = None if batch is None else pool.submit(decoded, self._decoder, batch)
                if ahead is not None:
                    done += len(self._pipeline.look(ahead.result()))
                ahead = coming
        return done

    @staticmethod
    def _some(batches: Sequence[_T], turns: int) -> list[_T]:
        return [batches[number % len(batches)] for number in range(turns)]


def decoded(decoder: DeviceDecoder, files: Sequence[bytes]) -> list[Readable]:
    """Decode frames of the bench.

    Raises:
        FrameRejectedError: One was refused.
    """
    answers: list[Readable] = []
    for answer in decoder.decode(files):
        if isinstance(answer, FrameRejectedError):
            raise answer
        answers.append(answer)
    return answers


def batches_of(files: Sequence[bytes], size: int) -> list[list[bytes]]:
    """Make batches of ``size`` frames from ``files`` in turn; what is left over is not used."""
    count = max(size, len(files))
    many = [files[number % len(files)] for number in range(count - count % size)]
    return [many[first : first + size] for first in range(0, len(many), size)]


def turns_in(seconds: float, part: Callable[[int], int]) -> int:
    """Say how many batches take about that long, at least one; a first one warms up."""
    part(1)
    began = time.perf_counter()
    part(1)
    return max(1, round(seconds / max(1e-6, time.perf_counter() - began)))


def _reference(models: tuple[ModelVersion, ModelVersion]) -> Backend:
    """Open what serves on the CPU; torch in single precision where OpenVINO is not installed."""
    try:
        return open_backend("openvino", *models, BackendOptions(eight_bits="off"))
    except ImportError:
        return open_backend("torch", *models, BackendOptions(device="cpu"))
