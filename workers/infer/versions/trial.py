"""A candidate proven in a process of its own, at low priority: what it breaks, hangs or slows down is not what serves.

The child loads both networks, has them answer their probes, warms them up and leaves them compiled in the cache, so
that the worker itself only has to read them. The parent sends one line of JSON, the child answers with one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import MaskwatchError
from workers.infer.settings import InferSettings
from workers.infer.versions.failures import LoadError, failure_of

if TYPE_CHECKING:
    from workers.infer.vision.pipeline import FacePipeline

NICE = 2
"""Steps below what serves: it gives way, and still gets a third of a busy processor, so that a swap takes seconds."""
TIMEOUT_S = 120.0
Folders = tuple[Path, Path]


class TrialQuestion(BaseModel):
    """What the child is asked.

    Attributes:
        settings: The worker's.
        folders: Detector and classifier on trial.
        base: Detector and classifier to compare the cost with; None: it is not asked for.
        canvases: Canvases (width, height), px, to warm up beside the usual ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: InferSettings
    folders: Folders
    base: Folders | None = None
    canvases: tuple[tuple[int, int], ...] = ()


class TrialAnswer(BaseModel):
    """What the child says: why not, or what it costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = ""
    message: str = ""
    cost_ratio: float | None = None


class Trial:
    """Runs one trial at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def run(self, question: TrialQuestion) -> TrialAnswer:
        """Prove a candidate.

        Raises:
            LoadError: It may not serve; also where the child died, hung, or was cancelled.
        """
        with self._lock:
            if self._cancelled:
                raise LoadError("cancelled", "the worker ends", passing=True)
            self._child = subprocess.Popen(
                [sys.executable, "-m", "workers.infer.versions.trial"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        child, reason = self._child, "killed"
        try:
            output, _ = child.communicate(question.model_dump_json().encode(), TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            reason = "timeout"
        answer = self._read(child, output, reason)
        if answer.reason:
            raise LoadError(answer.reason, answer.message)
        return answer

    def cancel(self) -> None:
        """End the child, if there is one, and start no other."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()

    def _read(self, child: subprocess.Popen[bytes], output: bytes, reason: str) -> TrialAnswer:
        with self._lock:
            self._child = None
            if self._cancelled:
                raise LoadError("cancelled", "the worker ends", passing=True)
        try:
            return TrialAnswer.model_validate_json(output)
        except ValidationError:
            raise LoadError(reason, f"the trial ended with status {child.returncode}") from None


def answer(question: TrialQuestion) -> TrialAnswer:
    """Do the child's work."""
    os.nice(NICE)
    try:
        pipeline = _opened(question, question.folders)
        pipeline.warm_up(question.settings.batch_size, question.canvases)
        ratio = _cost_s(pipeline) / _cost_s(_opened(question, question.base)) if question.base else None
    except (MaskwatchError, OSError, ValueError) as error:
        failure = failure_of(error)
        return TrialAnswer(reason=failure.reason, message=str(failure))
    except Exception as error:  # noqa: BLE001 - a candidate may make a library raise anything, and that is the answer
        return TrialAnswer(reason="failed", message=f"{type(error).__name__}: {error}"[:500])
    return TrialAnswer(cost_ratio=ratio)


def _opened(question: TrialQuestion, folders: Folders) -> FacePipeline:
    from workers.backends.backend import load_models, open_backend
    from workers.infer.vision.opening import pipeline_for

    models = load_models(*folders)
    backend = open_backend(question.settings.backend, *models, question.settings.options())
    return pipeline_for(backend, models, question.settings.pipeline())


def _cost_s(pipeline: FacePipeline) -> float:
    """Measure the processor's seconds for four usual frames with three faces each, the least of three tries."""
    clock = time.process_time if "cpu" in pipeline.backend.name else time.perf_counter
    least = float("inf")
    for attempt in range(4):
        began = clock()
        pipeline.spend(frames=4, faces=12)
        if attempt:
            least = min(least, clock() - began)
    return least


if __name__ == "__main__":
    said = answer(TrialQuestion.model_validate_json(sys.stdin.buffer.read())).model_dump_json()
    sys.stdout.buffer.write(said.encode())
    sys.stdout.buffer.flush()
    os._exit(0)  # everything is said; taking the libraries down in good order would only cost time
