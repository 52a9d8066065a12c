"""What is known of a camera's picture over time: online, offline, frozen, dark or blurred, without fluttering."""

from __future__ import annotations

from dataclasses import dataclass

from common.schema import CameraState
from producers.picture import Reading


@dataclass(frozen=True, slots=True)
class StateRules:
    """Thresholds and times of `PictureWatch`.

    Attributes:
        offline_s: No picture for longer than this is offline, s.
        frozen_s: The very same picture for this long is frozen, s.
        settle_s: A dark or blurred picture must last this long to count, s.
        recover_s: A good picture must last this long to count again, s.
        dark_luma: Mean brightness, 0–255, below which it is dark; it is bright again half as much above.
        blurred_sharpness: Variance of the Laplacian below which it is blurred; sharp again half as much above.
        look_s: While all is well, one picture in this time is looked at at most, s.
        rest_s: And at least one in this time, s, where their sizes as the camera encoded them say nothing new.
    """

    offline_s: float = 3.0
    frozen_s: float = 8.0
    settle_s: float = 3.0
    recover_s: float = 1.0
    dark_luma: float = 14.0
    blurred_sharpness: float = 12.0
    look_s: float = 2.0
    rest_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Condition:
    """The present state.

    Attributes:
        state: One of the five.
        since: When it began, s, on the clock that the watch is given.
        cause: Why, in a few words.
    """

    state: CameraState
    since: float
    cause: str = ""


_RETURN = 1.5
_SHRUNK = 0.8
"""Pictures of one camera that turn dark or blurred become this much smaller, and more, on their way there."""


class PictureWatch:
    """Turns readings, errors and silence into a state with hysteresis; pure, since time is an argument.

    ``condition`` is None until the first picture, the first error, or ``offline_s`` after ``now``.

    Args:
        rules: Thresholds.
        now: Time in s of the clock that all calls use.
    """

    def __init__(self, rules: StateRules, now: float) -> None:
        self._rules = rules
        self.condition: Condition | None = None
        self._heard_at = now
        self._fingerprint: bytes | None = None
        self._changed_at = now
        self._wanted: CameraState | None = None
        self._wanted_at = now
        self._doubtful = True
        self._looked_at = now
        self._size = self._largest = 0

    def due(self, now: float, size: int | None = None) -> bool:
        """Say whether a picture must be looked at: each one, unless all is well and another was looked at just now.

        Args:
            now: When it came, s.
            size: Its size as the camera encoded it, bytes: one of the very same size as the one before may be the very
                same picture, and a dark or blurred one is smaller. None where that is not known.
        """
        since_s = now - self._looked_at
        if size is None:
            return self._doubtful or since_s >= self._rules.look_s
        telling = size == self._size or size < _SHRUNK * self._largest
        self._size, self._largest = size, max(size, self._largest)
        if not self._doubtful and since_s < (self._rules.look_s if telling else self._rules.rest_s):
            return False
        self._largest = size
        return True

    def observe(self, reading: Reading, now: float) -> Condition:
        """Take in a picture."""
        self._heard_at = self._looked_at = now
        same = reading.fingerprint == self._fingerprint
        if not same:
            self._fingerprint = reading.fingerprint
            self._changed_at = now
        state, cause = self._judge(reading, now)
        if state is not self._wanted:
            self._wanted, self._wanted_at = state, now
        condition = self.condition
        if condition is None or now - self._wanted_at >= self._patience(state):
            condition = self._enter(state, cause, now)
        self._doubtful = same or not state is condition.state is CameraState.ONLINE
        return condition

    def excuse(self, now: float) -> None:
        """Take in that the silence up to now was not the camera's: its pictures were not asked for."""
        self._heard_at = max(self._heard_at, now)

    def fail(self, cause: str, now: float) -> Condition:
        """Take in that the source broke, did not open, or ended: offline at once."""
        self._wanted = None
        self._fingerprint = None
        self._doubtful = True
        return self._enter(CameraState.OFFLINE, cause, now)

    def tick(self, now: float) -> Condition | None:
        """Take in that time passed; silence for too long is offline."""
        if now - self._heard_at > self._rules.offline_s and not self._is(CameraState.OFFLINE):
            return self.fail(f"no picture for {self._rules.offline_s:g} s", now)
        return self.condition

    def _judge(self, reading: Reading, now: float) -> tuple[CameraState, str]:
        rules = self._rules
        if reading.luma < rules.dark_luma * (_RETURN if self._is(CameraState.DARK) else 1):
            # Before frozen: black pictures are all alike, though the camera may be well.
            return CameraState.DARK, "hardly any light"
        if now - self._changed_at >= rules.frozen_s:
            return CameraState.FROZEN, f"the same picture for {rules.frozen_s:g} s"
        if reading.sharpness < rules.blurred_sharpness * (_RETURN if self._is(CameraState.BLURRED) else 1):
            return CameraState.BLURRED, "nothing in the picture is sharp"
        return CameraState.ONLINE, ""

    def _patience(self, state: CameraState) -> float:
        if state is CameraState.FROZEN:
            return 0.0  # it has waited for frozen_s already
        return self._rules.recover_s if state is CameraState.ONLINE else self._rules.settle_s

    def _is(self, state: CameraState) -> bool:
        return self.condition is not None and self.condition.state is state

    def _enter(self, state: CameraState, cause: str, now: float) -> Condition:
        if self.condition is None or self.condition.state is not state:
            self.condition = Condition(state, now, cause)
        return self.condition
