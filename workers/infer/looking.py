"""Looking at frames: the batch first, one by one where the batch fails, so that one bad frame costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import BackendError
from common.log import Log
from common.schema import Outcome
from workers.infer.arrivals import Frame
from workers.infer.decoding import DecodedFrame
from workers.infer.outcomes import Finished
from workers.infer.pipeline import FacePipeline

FAILED = "failed"
_log = Log("infer")
Decoded = tuple[Frame, DecodedFrame]


@dataclass(frozen=True, slots=True)
class Looker:
    """Turns decoded frames into results. Used by one thread at a time."""

    pipeline: FacePipeline

    def look(self, frames: Sequence[Decoded]) -> list[Finished]:
        """Look at all frames in one go; list in, list out, same order.

        A frame on which the networks fail alone, while a blank picture passes, ends as ``dead``.

        Raises:
            BackendError: The networks fail on a blank picture too: it is not the frames' fault, and none is finished.
        """
        try:
            return self._all(frames)
        except Exception as error:  # noqa: BLE001 - whatever a device throws, one frame may be its cause
            _log.warning("batch_failed", frames=len(frames), error=type(error).__name__)
            if len(frames) == 1:
                self._blame_backend()
                return [Finished(frames[0][0], Outcome.DEAD, FAILED)]
        return [finished for frame in frames for finished in self.look([frame])]

    def _all(self, frames: Sequence[Decoded]) -> list[Finished]:
        pictures = [decoded.picture for _, decoded in frames]
        found = self.pipeline.read(pictures, [decoded.size for _, decoded in frames])
        return [
            Finished(
                frame,
                Outcome.OK,
                faces=tuple(face.relative(*decoded.size) for face in faces),
                size=decoded.size,
            )
            for (frame, decoded), faces in zip(frames, found, strict=True)
        ]

    def _blame_backend(self) -> None:
        try:
            self.pipeline.read([np.zeros((360, 640, 3), np.uint8)])
        except Exception as error:
            raise BackendError(f"the backend fails on a blank picture too: {type(error).__name__}: {error}") from error
