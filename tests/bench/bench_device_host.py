"""What the host spends on a frame beside a GPU, after decoding: ``python -m tests.bench.bench_device_host``.

Everything that a GPU would compute is answered at once with what was computed before; what remains is the host's work.
"""

from __future__ import annotations

import time
from unittest import mock

import torch

from common.geometry import Letterbox
from maskwatch.bench.frames import bench_frames
from tests.infer_backends import on_device
from workers.backends.backend import BackendOptions, load_models
from workers.infer.vision import devicepipeline
from workers.infer.vision.devicedecoder import DeviceDecoder
from workers.infer.vision.opening import pipeline_for

FRAMES, REPEATS, TURNS = 16, 4, 20


def main() -> None:
    backend = on_device(*load_models(), BackendOptions(threads=1))
    decoder, pipeline = DeviceDecoder(backend.lane, None), pipeline_for(backend, load_models())
    frames = decoder.decode(bench_frames(FRAMES)) * REPEATS
    decoder.close()

    def remembered(compute):
        kept: list[torch.Tensor] = []

        def answer(pixels: torch.Tensor) -> torch.Tensor:
            if not kept:
                kept.append(compute(pixels))
            return kept[0]

        return answer

    networks = {name: remembered(getattr(backend, name)) for name in ("detect_there", "classify_there")}
    with mock.patch.multiple(backend, **networks):
        found = pipeline.look(frames)
        side = pipeline.classifier.classifier_input.side
        crops = torch.zeros((sum(map(len, found)), side, side, 3), dtype=torch.uint8)
        fit = Letterbox.fit((640, 360), (640, 384))
        with mock.patch.multiple(
            devicepipeline,
            stacked=lambda pictures: pictures[0][None],
            letterbox_all=lambda pictures, _canvas: (pictures, fit),
            crop_all=lambda _pictures, which, _squares, _side: crops[: len(which)],
            blur_all=lambda cut, _margin: torch.zeros(len(cut)),
        ):
            began = time.process_time()
            for _ in range(TURNS):
                pipeline.look(frames)
            used = time.process_time() - began
    faces, each_ms = len(crops) / len(frames), 1000 * used / TURNS / len(frames)
    print(f"{len(frames)} frames, {faces:.1f} faces a frame: {each_ms:.3f} ms a frame")


if __name__ == "__main__":
    main()
