"""Frames whose earlier holder failed: looked at alone, and from the third try on in a child process."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import FrameRejectedError
from common.schema import Outcome
from workers.infer.arrivals import Frame
from workers.infer.longsides import LongSides
from workers.infer.looking import Looker
from workers.infer.outcomes import Finished
from workers.infer.solo import Solo, SoloDeath
from workers.infer.vision.decoding import decode_frame

CHILD_FROM = 3
"""Deliveries from which a frame is looked at in a child process: it has been there when two workers failed."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at one suspect at a time, with nothing beside it that it could take along."""

    looker: Looker
    solo: Solo
    sides: LongSides
    reduced: bool

    def examine(self, frame: Frame) -> list[Finished]:
        """Look at a suspect; empty where the process's end came first.

        Raises:
            BackendError: As `Looker.look`.
        """
        if frame.entry.deliveries >= CHILD_FROM:
            return self._in_child(frame)
        try:
            decoded = decode_frame(frame.jpeg, *self.sides.of([frame.camera]), reduced=self.reduced)
            return self.looker.look([(frame, decoded)])
        except FrameRejectedError as error:
            return [Finished(frame, Outcome.REJECTED, error.reason)]

    def _in_child(self, frame: Frame) -> list[Finished]:
        served = self.looker.serving.current
        answer = self.solo.look(frame.jpeg, served.folders, *self.sides.of([frame.camera]))
        if answer is None:
            return []
        if isinstance(answer, SoloDeath):
            return [Finished(frame, Outcome.DEAD, answer.reason)]
        if answer.rejected:
            return [Finished(frame, Outcome.REJECTED, answer.rejected)]
        return [Finished(frame, Outcome.OK, faces=answer.faces, size=answer.size, by=served.signature)]
