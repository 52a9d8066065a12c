"""The weekly calendar of a policy: hours in which something else is asked of people than at other times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from common.advice import nearest

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        names = available_timezones()
        hint = nearest(name, names) if names else ""
        raise ValueError(f"there is no time zone '{name}'{hint if len(hint) < 100 else ''}") from error
    return name


TimeZoneName = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_known_zone)]
"""Name in the IANA list, such as ``Europe/Berlin``."""


def _as_text(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
        return f"{value // 60:02d}:{value % 60:02d}"  # YAML reads 18:00 without quotes as 18 x 60
    return value


Clock = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
"""Wall time, ``HH:MM``, up to ``24:00``."""


class Hours(BaseModel):
    """Part of a week in which a policy asks for something else. Local wall time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: list[Day] = Field(default=list(DAYS), min_length=1, description="mon … sun; all if left out.")
    begin: Clock = Field(default="00:00", description="Local time, HH:MM.")
    end: Clock = Field(default="24:00", description="Local time; not later than 'begin' means the next day.")
    required: bool | None = Field(default=None, description="Whether a worn mask is asked for in these hours.")
    grace_s: float | None = Field(default=None, ge=0, le=600, description="Seconds that a face may stay uncovered.")

    def stretches(self) -> list[tuple[int, int]]:
        """Give the begin and end of each stretch, in minutes since Monday 0:00; none goes past the week's end."""
        begin, end = _minutes(self.begin), _minutes(self.end)
        length = end - begin if end > begin else end - begin + DAY_MINUTES
        found = []
        for day in sorted({DAYS.index(day) for day in self.days}):
            start = day * DAY_MINUTES + begin
            stop = start + length
            found += [(start, stop)] if stop <= WEEK_MINUTES else [(start, WEEK_MINUTES), (0, stop - WEEK_MINUTES)]
        return [(start, stop) for start, stop in found if stop > start]


def overlap(hours: Sequence[Hours]) -> tuple[int, int, str] | None:
    """Find two entries that claim the same time: their indices, later one first, and when in words; or None."""
    taken = sorted((start, stop, index) for index, entry in enumerate(hours) for start, stop in entry.stretches())
    for (_, stop, index), (start, _, other) in pairwise(taken):
        if start < stop:
            when = f"{DAYS[start // DAY_MINUTES]} {start % DAY_MINUTES // 60:02d}:{start % 60:02d}"
            return max(index, other), min(index, other), when
    return None


class Calendar:
    """Which entry of a policy's hours applies at a moment.

    Args:
        hours: Entries that do not overlap.
        time_zone: IANA name of the place.
    """

    def __init__(self, hours: Sequence[Hours], time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._stretches = [
            (start, stop, index) for index, entry in enumerate(hours) for start, stop in entry.stretches()
        ]

    def entry_at(self, t_ms: int) -> int:
        """Give the index of the entry that applies at a Unix time in ms, -1 for none."""
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=t_ms)).astimezone(self._zone)
        minute = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
        return next((index for start, stop, index in self._stretches if start <= minute < stop), -1)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
