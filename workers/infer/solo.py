"""A suspect frame looked at in a process of its own, which it may take down without harm to any other frame.

The parent sends one line of settings and the JPEG through a pipe; the child answers with one line of JSON. Pixels touch
neither disk nor argument list.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import FrameRejectedError
from common.schema import FaceReading
from workers.infer.settings import InferSettings

KILLED, TIMEOUT, GARBLED = "killed", "timeout", "garbled"


class SoloAnswer(BaseModel):
    """What the child says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[int, int] | None = None
    faces: tuple[FaceReading, ...] = ()
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class SoloDeath:
    """The child did not come back.

    Attributes:
        reason: ``killed``, ``timeout``, or ``garbled`` where its answer could not be read.
        status: Exit status, negative for a signal.
    """

    reason: str
    status: int


class Solo:
    """Looks at one frame in a child process; one at a time.

    Args:
        settings: The worker's settings; the child uses the same backend and models.
    """

    def __init__(self, settings: InferSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def look(self, data: bytes, folders: tuple[Path, Path], long_side_px: int) -> SoloAnswer | SoloDeath | None:
        """Look at a JPEG with the detector and classifier in ``folders``; None where `cancel` ended it."""
        settings = self._settings.model_copy(update={"long_side_px": long_side_px})
        with self._lock:
            if self._cancelled:
                return None
            self._child = subprocess.Popen(
                [sys.executable, "-m", "workers.infer.solo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        child = self._child
        reason = KILLED
        try:
            output, _ = child.communicate(_question(settings, folders, data), self._settings.solo_timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            reason = TIMEOUT
        with self._lock:
            self._child = None
            if self._cancelled:
                return None
        if child.returncode or not output:
            return SoloDeath(reason, child.returncode)
        try:
            return SoloAnswer.model_validate_json(output)
        except ValidationError:
            return SoloDeath(GARBLED, child.returncode)

    def cancel(self) -> None:
        """End the child, if there is one, and start no other."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()


def _question(settings: InferSettings, folders: tuple[Path, Path], data: bytes) -> bytes:
    settings = settings.model_copy(update={"detector_dir": folders[0], "classifier_dir": folders[1]})
    return settings.model_dump_json().encode() + b"\n" + data


def answer(question: IO[bytes]) -> SoloAnswer:
    """Do the child's work: load the models, look at the one frame."""
    from workers.backends.backend import load_models, open_backend
    from workers.infer.vision.decoding import decode_frame
    from workers.infer.vision.pipeline import FacePipeline

    settings = InferSettings.model_validate_json(question.readline())
    data = question.read()
    detector, classifier = load_models(settings.detector_dir, settings.classifier_dir)
    backend = open_backend(settings.backend, detector, classifier, settings.options())
    pipeline = FacePipeline(backend, detector, classifier, settings.pipeline())
    try:
        decoded = decode_frame(data, settings.long_side_px, reduced=settings.reduced_decoding)
    except FrameRejectedError as error:
        return SoloAnswer(rejected=error.reason)
    faces = pipeline.read([decoded.picture], [decoded.size])[0]
    return SoloAnswer(size=decoded.size, faces=tuple(face.relative(*decoded.size) for face in faces))


if __name__ == "__main__":
    sys.stdout.buffer.write(answer(sys.stdin.buffer).model_dump_json().encode())
