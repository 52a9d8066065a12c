"""Data of compliance windows: how many people wore a mask, counted and not told one by one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from common.events.parts import Data, Share, Timestamp

WINDOW_TYPE = "maskwatch.compliance.window.v1"

Count = Annotated[int, Field(ge=0)]


class WindowData(Data):
    """Data of ``maskwatch.compliance.window.v1``: people counted in a window, at a site or in one of its zones.

    A count that is null is withheld; see the rules in ``docs/statistics.md``.
    """

    scope: Literal["site", "zone"]
    site: str
    zone: str | None = None
    window_start: Timestamp
    window_end: Timestamp
    persons_observed: Count | None
    """People who left the picture in the window, each once per camera; null where they are withheld."""
    masked: Count | None
    incorrect: Count | None
    unmasked: Count | None
    undetermined: Count | None
    """People of whom too little could be seen for a verdict."""
    compliance_rate: Share | None
    """masked / (masked + incorrect + unmasked); null where that is fewer than ``min_count`` people, or withheld."""
    observability: Share | None
    """1 - undetermined / persons_observed; null where nobody was observed, or where one of them is withheld."""
    cameras_up: Count
    """Cameras that gave a picture that can be judged for at least half of the window."""
    cameras_expected: Count
    """Cameras of the plan, for a zone those that draw it."""
    degraded_seconds: Count
    """Seconds of the window in which a camera gave no such picture, added up over the expected cameras."""
    min_count: int = Field(ge=1)
    withheld: bool = False
    """Whether small counts are withheld, because a camera of the site is run for statistics only."""
