"""Looking at frames: the batch first, one by one where the batch fails, so that one bad frame costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import BackendError
from common.log import Log
from common.schema import Outcome
from workers.infer.arrivals import Frame
from workers.infer.outcomes import Finished
from workers.infer.versions.serving import Served, Serving
from workers.infer.vision.face import Face
from workers.infer.vision.readable import Readable

FAILED = "failed"
_log = Log("infer")
Decoded = tuple[Frame, Readable]
Audience = Callable[[Served, Sequence[Decoded], Sequence[Sequence[Face]]], None]
"""Told which faces which networks found in a batch; must return at once."""


def nobody(_served: Served, _frames: Sequence[Decoded], _found: Sequence[Sequence[Face]]) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class Looker:
    """Turns decoded frames into results. Used by one thread at a time.

    Attributes:
        serving: Gives the networks, the same ones for a whole batch.
        audience: Who is told what a batch held.
    """

    serving: Serving
    audience: Audience = nobody

    def look(self, frames: Sequence[Decoded]) -> list[Finished]:
        """Look at all frames in one go; list in, list out, same order.

        A frame on which the networks fail alone, while a blank picture passes, ends as ``dead``.

        Raises:
            BackendError: The networks fail on a blank picture too: it is not the frames' fault, and none is finished.
        """
        with self.serving.batch() as served:
            return self._look(served, frames)

    def _look(self, served: Served, frames: Sequence[Decoded]) -> list[Finished]:
        try:
            return self._all(served, frames)
        except Exception as error:  # noqa: BLE001 - whatever a device throws, one frame may be its cause
            _log.warning("batch_failed", frames=len(frames), error=type(error).__name__)
            if len(frames) == 1:
                _blame_backend(served)
                return [Finished(frames[0][0], Outcome.DEAD, FAILED)]
        return [finished for frame in frames for finished in self._look(served, [frame])]

    def _all(self, served: Served, frames: Sequence[Decoded]) -> list[Finished]:
        found = served.pipeline.look([decoded for _, decoded in frames])
        self.audience(served, frames, found)
        return [
            Finished(
                frame,
                Outcome.OK,
                faces=tuple(face.relative(*decoded.size) for face in faces),
                size=decoded.size,
                by=served.signature,
            )
            for (frame, decoded), faces in zip(frames, found, strict=True)
        ]


def _blame_backend(served: Served) -> None:
    try:
        served.pipeline.read([np.zeros((360, 640, 3), np.uint8)])
    except Exception as error:
        raise BackendError(f"the backend fails on a blank picture too: {type(error).__name__}: {error}") from error
