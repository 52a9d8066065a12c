"""Adds the cameras' tallies up to windows of the whole site and of its zones. Pure; times in ms are given in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from common.siteplan import SitePlan
from common.tally import CLASSES, EVERYWHERE, OUTSIDE, Tally
from workers.site.disclosure import SUM, Table

MASKED, UNMASKED, INCORRECT, UNDETERMINED = range(CLASSES)


class Span(NamedTuple):
    """A window: its begin, ms since 1970, and its length in minutes."""

    start_ms: int
    minutes: int

    @property
    def end_ms(self) -> int:
        """Its end, ms since 1970."""
        return self.start_ms + 60_000 * self.minutes


@dataclass(slots=True)
class WindowSum:
    """What the tallies of a window add up to.

    Attributes:
        persons: Scope → people by class, as in a `Tally`.
        up_s: Camera → seconds in which it gave a picture that can be judged.
    """

    persons: dict[str, list[int]] = field(default_factory=dict)
    up_s: dict[str, int] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Add one camera's counts."""
        self.up_s[tally.camera] = self.up_s.get(tally.camera, 0) + tally.up_s
        for scope, counts in tally.persons.items():
            held = self.persons.setdefault(scope, [0] * CLASSES)
            self.persons[scope] = [one + other for one, other in zip(held, counts, strict=True)]

    def to_json(self) -> list[Any]:
        """Write it for the stored state."""
        return [self.persons, self.up_s]

    @classmethod
    def from_json(cls, raw: list[Any]) -> WindowSum:
        """Read what `to_json` wrote."""
        return cls(*raw)


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of one scope in a window; None is withheld. ``zone`` is empty for the whole site."""

    zone: str
    observed: int | None
    masked: int | None
    unmasked: int | None
    incorrect: int | None
    undetermined: int | None
    rate: float | None
    observability: float | None
    cameras_up: int
    cameras_expected: int
    degraded_s: int


def rows_of(span: Span, found: WindowSum, plan: SitePlan) -> list[Row]:
    """Make the rows of a window that is over: the site first, then each zone that a camera draws or that was told of.

    Args:
        span: The window.
        found: What was counted.
        plan: Says which cameras are expected, and how few people are too few.
    """
    drawn: dict[str, list[str]] = {}
    for camera in plan.cameras:
        for zone in camera.zones:
            drawn.setdefault(zone, []).append(camera.id)
    zones = sorted({*drawn, *found.persons} - {EVERYWHERE, OUTSIDE})
    counts = {scope: found.persons.get(scope, [0] * CLASSES) for scope in (EVERYWHERE, OUTSIDE, *zones)}
    least = plan.statistics.min_count
    table = Table(counts, least if plan.counts_only else 0)
    expected = {EVERYWHERE: [camera.id for camera in plan.cameras]} | drawn
    return [_row(table, zone, least, _health(span, found, expected.get(zone, []))) for zone in (EVERYWHERE, *zones)]


def _row(table: Table, zone: str, least: int, health: tuple[int, int, int]) -> Row:
    masked, unmasked, incorrect, undetermined = (table.told(zone, col) for col in range(CLASSES))
    observed, rate, observability = table.told(zone, SUM), None, None
    if observed and undetermined is not None:
        judged = observed - undetermined
        observability = round(judged / observed, 4)
        rate = round(masked / judged, 4) if masked is not None and judged >= max(1, least) else None
    return Row(zone, observed, masked, unmasked, incorrect, undetermined, rate, observability, *health)


def _health(span: Span, found: WindowSum, expected: list[str]) -> tuple[int, int, int]:
    whole_s = 60 * span.minutes
    seconds = [min(whole_s, found.up_s.get(camera, 0)) for camera in expected]
    return sum(2 * up_s >= whole_s for up_s in seconds), len(expected), sum(whole_s - up_s for up_s in seconds)
