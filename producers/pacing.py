"""Which pictures of a faster source to keep, so that a wanted number of frames a second comes out."""

from __future__ import annotations

_ENOUGH = 0.499  # of a frame: half a period of jitter to either side leaves the choice alone
_MOST = 1.5  # of a frame: what a left-out picture may leave over; a pause saves up no more, so no burst follows


class Pacer:
    """Keeps at most ``fps`` frames a second, evenly and without drift; pure, since time is an argument.

    Each second earns ``fps`` frames of credit and each kept picture spends one. A source no faster than ``fps`` keeps
    everything, even where its pictures jitter by a third of a period.

    Args:
        fps: Frames a second to keep, above 0.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._credit = 1.0
        self._last: float | None = None

    def keep(self, at: float) -> bool:
        """Say whether to keep the picture taken at ``at``, s; times that run backwards earn nothing."""
        if self._last is not None:
            self._credit = min(_MOST, self._credit + max(0.0, at - self._last) * self._fps)
        self._last = at
        if self._credit < _ENOUGH:
            return False
        self._credit -= 1.0
        return True
