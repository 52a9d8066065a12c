"""``maskwatch bench`` measures a real worker behind a real broker, and prints one JSON object last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common import jpeg
from maskwatch.bench.frames import bench_frames

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maskwatch", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_frames_are_the_same_on_every_machine_and_of_the_size_asked_for() -> None:
    first, again = bench_frames(3, (640, 360)), bench_frames(3, (640, 360))
    assert first == again
    assert jpeg.decode(first[0]).shape == (360, 640, 3)


def test_more_people_than_the_hall_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 faces"):
        bench_frames(1, (320, 240), faces=4)


def test_one_core_is_measured_from_the_broker_to_the_result(tmp_path: Path) -> None:
    picture = tmp_path / "stages.png"
    done = bench("cpu", "--seconds", "1", "--json", "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["fps_per_core"] > 1
    assert 0 < found["ratio_to_decode"] < 1
    assert found["faces_per_frame"] == pytest.approx(3.0, abs=0.2)
    assert found["reference_fps"] is None
    assert found["reference"] == "no --reference-weights given"
    assert {"read", "guard", "decode", "resize", "detect", "boxes", "crop", "classify", "publish", "ack"} <= set(
        found["stages_ms"]
    )
    assert found["accuracy"]["faces_average_precision"] > 0.9
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_decoding_at_half_size_is_faster_than_at_full_size() -> None:
    done = bench("decode", "--seconds", "1", "--size", "640x360", "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["half"] > found["full"]
    assert found["size"] == "640x360"


def test_a_size_that_is_none_is_refused() -> None:
    done = bench("broker", "--size", "large")
    assert done.returncode == 2
    assert "WIDTHxHEIGHT" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_without_a_gpu_its_bench_says_what_is_missing_in_one_line() -> None:
    done = bench("gpu", "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "no CUDA device here" in line


@pytest.mark.timeout(600)
def test_the_way_of_a_gpu_can_be_tried_on_the_cpu() -> None:
    done = bench("gpu", "--device", "cpu", "--batch", "2", "--frames", "4", "--seconds", "1", "--json", timeout_s=590)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["fps"] > 0
    assert found["limit"] == "networks"
    assert (found["decoder"], found["device"], found["quotable"]) == ("cpu", "cpu", False)
    assert found["fallbacks"] >= 4
    assert found["parity"]["faces"] == 12
    assert found["parity"]["within"]
    assert found["faces_per_frame"] == pytest.approx(3.0, abs=0.3)
    (line,) = [line for line in done.stderr.splitlines() if "gpu_decoding_unused" in line]
    assert "nvJPEG decodes on CUDA only" in line
