"""Counts for statistics: what a plan asks for, how windows lie on the clock, and what a judge tells the site stage.

A tally holds no ids, no boxes and no time finer than its window.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.schema import CameraId
from common.zones import ZoneId

DAY_MIN = 1440
LEAST_PRIVATE_MIN = 20
"""Shortest window, minutes, where only counts may arise: in a shorter one a person could be told by the time."""
LEAST_PRIVATE_COUNT = 5
EVERYWHERE, OUTSIDE = "", "-"
"""Scopes of a tally beside zone ids: everybody the camera saw, and those of them who were in no zone."""
CLASSES = 4
"""Counts in the order mask, no_mask, incorrect, undetermined."""

Counts = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=CLASSES, max_length=CLASSES)]


class Statistics(BaseModel):
    """How people are counted for ``maskwatch.compliance.window.v1``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_min: int = Field(default=30, ge=1, le=DAY_MIN, description="Minutes of a window; must divide a day.")
    min_count: int = Field(default=10, ge=1, le=10_000, description="Fewer people than this give no rate.")
    grace_s: float = Field(default=60.0, ge=1, le=3600, description="Wait after a window's end for late counts.")

    @field_validator("window_min")
    @classmethod
    def _divides_a_day(cls, minutes: int) -> int:
        if DAY_MIN % minutes:
            lower, upper = (next(n for n in steps if DAY_MIN % n == 0) for steps in _around(minutes))
            raise ValueError(f"{minutes} minutes do not divide a day; take {lower} or {upper}")
        return minutes

    @property
    def window_ms(self) -> int:
        """Length of a window, ms."""
        return 60_000 * self.window_min


class Tally(BaseModel):
    """One camera's counts of one window, written once, when the window is over.

    Attributes:
        camera: Camera id.
        start_ms: Begin of the window, ms since 1970; a multiple of its length.
        minutes: Its length.
        up_s: Seconds of it in which the camera gave a picture that can be judged.
        persons: Scope → people who left in the window, by last verdict.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera: CameraId
    start_ms: int = Field(ge=0)
    minutes: int = Field(ge=1, le=DAY_MIN)
    up_s: int = Field(ge=0)
    persons: dict[ZoneId | Annotated[str, Field(pattern="^-?$")], Counts] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write it as it lies in the stream."""
        return self.model_dump_json().encode()


def window_start(t_ms: int, window_ms: int) -> int:
    """Give the begin, ms since 1970, of the window in which a moment lies; windows count from midnight UTC."""
    return t_ms - t_ms % window_ms


def _around(minutes: int) -> tuple[range, range]:
    return range(minutes, 0, -1), range(minutes, DAY_MIN + 1)
