"""Counts the people of one camera for statistics, in windows that lie on the clock.

A person is a confirmed track and counts once: in the window in which it ended, by its last verdict, in every zone that
it was in. People of whom no mask was asked where they were last seen do not count. Times are broker time, ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from common.tally import CLASSES, EVERYWHERE, OUTSIDE, Tally, window_start

_MOST_SKIPPED = 200


@dataclass(slots=True)
class Census:
    """The window of one camera that runs now.

    Attributes:
        start_ms: Its begin; 0 before the first message of the camera.
        window_ms: Its length.
        until_ms: Up to when time was counted.
        up_ms: Time in which the camera gave a picture that can be judged.
        persons: Scope → people by verdict, as in a `Tally`.
    """

    start_ms: int = 0
    window_ms: int = 0
    until_ms: int = 0
    up_ms: int = 0
    persons: dict[str, list[int]] = field(default_factory=dict)

    def count(self, verdict: int, zones: Iterable[str]) -> None:
        """Count somebody who has left."""
        named = [*zones]
        for scope in (EVERYWHERE, *(named or [OUTSIDE])):
            self.persons.setdefault(scope, [0] * CLASSES)[verdict] += 1

    def advance(self, camera: str, now_ms: int, window_ms: int, up_until_ms: int) -> list[Tally]:
        """Let time pass up to ``now_ms`` and give what is to be told of the windows that are over.

        Args:
            camera: Camera id, for the tallies.
            now_ms: The time; an earlier one than before changes nothing.
            window_ms: Length of windows now; another one ends the running window early.
            up_until_ms: Up to when the camera gave a usable picture, at most; 0 where it gives none.
        """
        done: list[Tally] = []
        if not self.start_ms or now_ms - self.until_ms > _MOST_SKIPPED * self.window_ms:
            done += [self._close(camera)] if self.start_ms else []
            self._begin(now_ms, window_ms)
        if window_ms != self.window_ms:
            done.append(self._close(camera))
            self._begin(self.until_ms, window_ms)
        while now_ms >= self.start_ms + self.window_ms:
            end_ms = self.start_ms + self.window_ms
            self._pass(end_ms, up_until_ms)
            done.append(self._close(camera))
            self._begin(end_ms, window_ms)
        self._pass(now_ms, up_until_ms)
        return done

    def to_json(self) -> list[Any]:
        """Write it for the stored state."""
        return [self.start_ms, self.window_ms, self.until_ms, self.up_ms, self.persons]

    @classmethod
    def from_json(cls, raw: list[Any]) -> Census:
        """Read what `to_json` wrote."""
        start_ms, window_ms, until_ms, up_ms, persons = raw
        return cls(start_ms, window_ms, until_ms, up_ms, {scope: list(counts) for scope, counts in persons.items()})

    def _begin(self, t_ms: int, window_ms: int) -> None:
        self.start_ms, self.window_ms = window_start(t_ms, window_ms), window_ms
        self.until_ms, self.up_ms, self.persons = t_ms, 0, {}

    def _pass(self, t_ms: int, up_until_ms: int) -> None:
        self.up_ms += max(0, min(t_ms, up_until_ms) - self.until_ms)
        self.until_ms = max(self.until_ms, t_ms)

    def _close(self, camera: str) -> Tally:
        minutes = self.window_ms // 60_000
        return Tally(
            camera=camera, start_ms=self.start_ms, minutes=minutes, up_s=self.up_ms // 1000, persons=self.persons
        )
