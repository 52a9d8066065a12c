"""Windows of statistics: what adds up, what comes late, what must be withheld."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SitePlanError
from common.events import WindowData
from common.siteplan import parse_plan
from common.tally import CLASSES, EVERYWHERE, OUTSIDE, Tally
from tests.site_scenes import T0, a_plan, judge_of, play, tallied, windows
from workers.site.disclosure import SUM, Table
from workers.site.windows import Span, WindowSum, rows_of

PRIVATE: dict[str, Any] = {"privacy": {"mode": "statistics"}, "statistics": {"window_min": 30, "min_count": 10}}


def test_tallies_of_all_cameras_add_up_at_the_site_and_in_the_zone() -> None:
    entries = [
        tallied(61, everywhere=[20, 4, 1, 5], platform=[10, 1, 0, 0]),
        tallied(62, "gate-2", everywhere=[30, 6, 0, 4]),
    ]
    site, zone = windows(play(judge_of(), entries, 66))

    assert (site.scope, site.zone, site.site) == ("site", None, "west")
    assert (site.persons_observed, site.masked, site.unmasked, site.incorrect, site.undetermined) == (70, 50, 10, 1, 9)
    assert site.compliance_rate == round(50 / 61, 4)
    assert site.observability == round(61 / 70, 4)
    assert (site.window_start, site.window_end) == ("2026-09-21T14:20:00.000Z", "2026-09-21T14:21:00.000Z")
    assert (zone.scope, zone.zone, zone.persons_observed, zone.unmasked) == ("zone", "platform", 11, 1)


def test_a_window_without_anybody_is_told_too() -> None:
    site, _ = windows(play(judge_of(), [], 66))[-2:]

    assert (site.persons_observed, site.compliance_rate, site.observability) == (0, None, None)
    assert (site.cameras_up, site.cameras_expected, site.degraded_seconds) == (0, 2, 120)


def test_fewer_people_than_min_count_give_no_rate_but_are_counted() -> None:
    site = windows(play(judge_of(), [tallied(61, everywhere=[8, 1, 0, 7])], 66))[0]

    assert (site.persons_observed, site.masked, site.compliance_rate) == (16, 8, None)
    assert site.observability is not None


def test_a_tally_after_the_grace_is_left_out_and_counted() -> None:
    judge = judge_of()
    found = windows(play(judge, [tallied(64.9, everywhere=[1, 0, 0, 0]), tallied(65, "gate-2")], 66))[0]

    assert (found.masked, found.cameras_up, judge.noted.late) == (1, 1, 1)


def test_windows_lie_on_the_clock_one_after_the_other_without_gaps() -> None:
    judge = judge_of()
    play(judge, [], 10)
    found = windows(play(judge, [], 400))

    starts = [one.window_start for one in found if one.scope == "site"]
    assert starts == [f"2026-09-21T14:{20 + minute}:00.000Z" for minute in range(len(starts))]
    assert len(starts) == 6


def test_a_window_has_one_id_and_each_source_its_own_sequence() -> None:
    first, second = play(judge_of(), [], 66), play(judge_of(), [], 66)

    assert [event.id for event in first] == [event.id for event in second]
    assert len({event.id for event in first}) == len(first)
    assert [(event.source, event.sequence) for event in first[:2]] == [
        ("/sites/west", "000000000000"),
        ("/sites/west/zones/platform", "000000000000"),
    ]


def test_another_length_of_windows_begins_where_the_plan_changes() -> None:
    judge = judge_of()
    play(judge, [], 70)
    judge.follow(a_plan(statistics={"window_min": 2, "grace_s": 5}), T0 + 70_000)
    play(judge, [], 400)

    spans = [(one.window_start[14:16], one.window_end[14:16]) for one in windows(e for e, _ in judge.events)]
    assert list(dict.fromkeys(spans)) == [("20", "21"), ("21", "22"), ("22", "24"), ("24", "26")]


def a_row(plan: dict[str, Any], counts: dict[str, list[int]]) -> list[Any]:
    found = WindowSum(counts, {})
    return list(rows_of(Span(T0, 30), found, a_plan(**plan)))


def test_a_small_group_is_withheld_with_all_that_gives_it_away() -> None:
    site, zone = a_row(PRIVATE, {EVERYWHERE: [40, 3, 12, 20], "platform": [5, 0, 0, 0], OUTSIDE: [35, 3, 12, 20]})

    assert (zone.observed, zone.masked, zone.rate, zone.observability) == (None, None, None, None)
    assert (site.observed, site.unmasked, site.incorrect, site.masked) == (75, None, None, 40)
    assert site.rate == round(40 / 55, 4)


def test_nobody_outside_the_only_zones_gives_no_small_rest_away() -> None:
    """Without more, site less one zone would be the other."""
    counts = {EVERYWHERE: [54, 0, 0, 0], "platform": [50, 0, 0, 0], "stairs": [4, 0, 0, 0], OUTSIDE: [0] * 4}
    rows = a_row(PRIVATE, counts)

    assert [row.observed for row in rows] == [54, None, None]


def test_the_full_mode_withholds_nothing() -> None:
    rows = a_row({}, {EVERYWHERE: [1, 0, 0, 0], "platform": [1, 0, 0, 0]})

    assert [row.observed for row in rows] == [1, 1]


def determined(table: Table, counts: dict[str, list[int]]) -> list[int]:
    """What a reader with linear algebra finds out of the cells that are not told."""
    zones = [row for row in counts if row not in (EVERYWHERE, OUTSIDE)]
    cells = list(itertools.product([EVERYWHERE, *zones, OUTSIDE], range(SUM + 1)))
    value = {(row, col): n for row in counts for col, n in enumerate([*counts[row], sum(counts[row])])}
    unknown = [cell for cell in cells if table.told(*cell) is None]
    sums = [{(row, SUM): -1.0} | {(row, col): 1.0 for col in range(CLASSES)} for row in counts]
    sums += [{(EVERYWHERE, c): -1.0} | {(row, c): 1.0 for row in [*zones, OUTSIDE]} for c in range(SUM + 1)]
    if not unknown:
        return []
    matrix = np.array([[line.get(cell, 0.0) for cell in unknown] for line in sums])
    _, singular, basis = np.linalg.svd(matrix)
    null = basis[int((singular > 1e-9).sum()) :]
    return [value[cell] for place, cell in enumerate(unknown) if np.abs(null[:, place]).max(initial=0) < 1e-9]


rows_drawn = st.lists(st.lists(st.integers(0, 30), min_size=CLASSES, max_size=CLASSES), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(rows_drawn, st.booleans())
def test_no_small_count_is_told_or_can_be_worked_out(rows: list[list[int]], all_in_zones: bool) -> None:
    least = 10
    counts = {f"z{number}": row for number, row in enumerate(rows)}
    counts[OUTSIDE] = [0] * CLASSES if all_in_zones else counts.pop("z0")
    counts[EVERYWHERE] = [sum(row[col] for row in counts.values()) for col in range(CLASSES)]
    table = Table(counts, least)

    for row in counts:
        for col in range(SUM + 1):
            number = table.told(row, col)
            assert number is None or number == 0 or number >= least
    assert [number for number in determined(table, counts) if 0 < number < least] == []


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ({"window_min": 25}, "statistics.window_min: 25 minutes do not divide a day; take 24 or 30"),
        ({"window_min": 0}, "statistics.window_min"),
        ({"window_min": 10}, "statistics.window_min: 10 is too short where privacy is 'statistics'; take at least 20"),
        ({"min_count": 2}, "statistics.min_count: 2 is too small where privacy is 'statistics'; take at least 5"),
        ({"windows": 3}, "statistics.windows: unknown key; did you mean 'window_min'?"),
    ],
)
@pytest.mark.parametrize("at", ["site", "camera"])
def test_a_plan_that_would_tell_too_much_is_refused(part: dict[str, Any], complaint: str, at: str) -> None:
    camera = {"id": "a", "source": "x"} | ({"privacy": "statistics"} if at == "camera" else {})
    privacy = {"mode": "statistics"} if at == "site" else {}
    with pytest.raises(SitePlanError) as caught:
        parse_plan({"site": "s", "cameras": [camera], "privacy": privacy, "statistics": part}, "site.yaml")
    assert complaint in str(caught.value)


def test_a_tally_holds_no_more_than_counts() -> None:
    tally = Tally(camera="a", start_ms=T0, minutes=1, up_s=1, persons={"": [1, 0, 0, 0], "hall": [1, 0, 0, 0]})

    assert set(tally.model_dump()) == {"camera", "start_ms", "minutes", "up_s", "persons"}
    with pytest.raises(ValueError, match="persons"):
        Tally(camera="a", start_ms=T0, minutes=1, up_s=1, persons={"no zone": [1, 0, 0, 0]})
    assert WindowData.model_fields["persons_observed"].is_required()
