"""The well-known script beside ours: a child process that looks at the same frames on the same core, round by round."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from maskwatch.bench.station import BenchError

SCRIPT = "tests.bench.reference_script"
NEEDED = ("opencv_face_detector_uint8.pb", "opencv_face_detector.pbtxt")


def why_not(weights: Path | None) -> str:
    """Say why the script cannot run here; empty where it can."""
    if weights is None:
        return "no --reference-weights given"
    missing = [name for name in NEEDED if not (weights / name).is_file()]
    if missing:
        return f"{weights} has no {missing[0]}"
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision")):
        return "torch is not installed"
    if not (_root() / (SCRIPT.replace(".", "/") + ".py")).is_file():
        return "the script comes with the source tree, not with the package"
    return ""


class ReferenceScript:
    """The script in a process of its own; a context manager.

    Attributes:
        faces_per_frame: Faces that it found, mean of its frames.

    Args:
        weights: Folder with the public face detector.
        frames: JPEG files that it looks at in turn.
        core: Processor core that it runs on.
    """

    def __init__(self, weights: Path, frames: Sequence[bytes], core: int) -> None:
        self.faces_per_frame = 0.0
        self._command = [sys.executable, "-m", SCRIPT, str(weights.resolve()), str(core)]
        self._frames = frames

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=_root(),
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        lengths = json.dumps({"lengths": [len(frame) for frame in self._frames]}).encode()
        self.faces_per_frame = float(self._ask(lengths + b"\n" + b"".join(self._frames))["faces_per_frame"])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def round(self, count: int) -> tuple[float, float]:
        """Have it look at ``count`` frames; gives frames a second of wall clock, and of processor time."""
        took = self._ask(f"RUN {count}\n".encode())
        return count / took["seconds"], count / took["cpu_seconds"]

    def _ask(self, data: bytes) -> dict[str, Any]:
        asked, answered = self._process.stdin, self._process.stdout
        if asked is None or answered is None:
            raise BenchError("the well-known script was not started")
        asked.write(data)
        asked.flush()
        line = answered.readline()
        if not line:
            raise BenchError(f"the well-known script ended; run it by hand: python -m {SCRIPT}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
