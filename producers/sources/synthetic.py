"""The synthetic scene as a camera: ``synthetic:NAME?seed=3``, for demonstrations and tests."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from common.advice import nearest
from common.errors import SourceUnreachableError
from producers.scene import SceneCamera
from producers.sources.source import SourceFrame, SourceSettings

_PATIENCE_S = 0.5
_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class SyntheticAddress:
    """What stands behind ``synthetic:`` in a camera's URL: ``NAME?seed=0&epoch=…&start=0&width=960&height=540``.

    Attributes:
        name: Name of the scene.
        seed: Another seed is another scene.
        epoch: Unix time, s, at which the scene's clock shows 0; None where it starts with the source.
        start: What the scene's clock shows when the source opens, s, where there is no ``epoch``.
        width: px.
        height: px.
    """

    name: str
    seed: int = 0
    epoch: float | None = None
    start: float = 0.0
    width: int = 960
    height: int = 540

    @classmethod
    def parse(cls, address: str) -> SyntheticAddress:
        """Read an address.

        Raises:
            SourceUnreachableError: A key that does not exist, or a value that is no number or out of range.
        """
        name, _, query = address.removeprefix("//").partition("?")
        kinds = {"seed": int, "epoch": float, "start": float, "width": int, "height": int}
        values: dict[str, float] = {}
        for key, text in parse_qsl(query, keep_blank_values=True):
            if key not in kinds:
                raise SourceUnreachableError(f"source: synthetic:{name}: unknown key '{key}'{nearest(key, kinds)}")
            try:
                values[key] = kinds[key](text)
            except ValueError as error:
                raise SourceUnreachableError(f"source: synthetic:{name}: {key}: '{text}' is no number") from error
        parsed = cls(name or "hall", **values)  # type: ignore[arg-type]  # the kinds above are the fields' own
        if not (160 <= parsed.width <= _LARGEST and 120 <= parsed.height <= _LARGEST):
            raise SourceUnreachableError(f"source: synthetic:{name}: size must be 160x120 to {_LARGEST}x{_LARGEST}")
        if parsed.width * 3 < parsed.height * 4:
            raise SourceUnreachableError(f"source: synthetic:{name}: must be 4:3 or wider")
        return parsed


class SyntheticSource:
    """Shows the scene at its own speed, or as fast as it is read; it never ends.

    The time of the scene in a frame is ``captured_at`` minus the address's epoch, so that the truth is known exactly.

    Args:
        address: What stands behind ``synthetic:``.
        settings: How to read it; ``fps``, ``width`` (smaller ones shrink the scene) and ``realtime`` matter.

    Raises:
        SourceUnreachableError: The address cannot be understood.
    """

    def __init__(self, address: str, settings: SourceSettings) -> None:
        self.address = SyntheticAddress.parse(address)
        self.live = settings.realtime
        size = (self.address.width, self.address.height)
        if size[0] > settings.width:
            size = (settings.width, round(size[1] * settings.width / size[0]))
        self.scene = SceneCamera(self.address.name, self.address.seed, size)
        self._fps = settings.fps
        self._quiet = threading.Event()  # never set: waiting on it is a pause
        self._started_at = time.time()
        self._epoch = self._started_at - self.address.start if self.address.epoch is None else self.address.epoch
        self._shown = 0

    def read(self) -> SourceFrame | None:
        """Give the next picture when its time has come; see `FrameSource`."""
        at = self._started_at + self._shown / self._fps
        if self.live:
            now = time.time()
            if at - now > _PATIENCE_S:
                self._quiet.wait(_PATIENCE_S)
                return None
            if at > now:
                self._quiet.wait(at - now)
            elif now - at > 1 / self._fps:
                # A real camera does not catch up either: what was not read in time is gone.
                self._shown = int((now - self._started_at) * self._fps)
                at = self._started_at + self._shown / self._fps
        self._shown += 1
        return SourceFrame(at, self.scene.width, self.scene.height, self.scene.frame(at - self._epoch))

    def close(self) -> None:
        """Hold nothing, so give nothing back."""
