"""A run's figures in numbers and words."""

from __future__ import annotations

import pytest

from maskwatch.run.summary import as_text, quantiles_ms


@pytest.mark.parametrize(
    ("values_s", "expected"),
    [
        ([], {"p50": None, "p95": None, "p99": None}),
        ([0.2], {"p50": 200.0, "p95": 200.0, "p99": 200.0}),
        ([number / 1000 for number in range(1, 101)], {"p50": 51.0, "p95": 96.0, "p99": 100.0}),
        ([0.3, 0.1, 0.2], {"p50": 200.0, "p95": 300.0, "p99": 300.0}),  # order does not matter
    ],
)
def test_quantiles(values_s: list[float], expected: dict[str, float | None]) -> None:
    assert quantiles_ms(values_s) == expected


def test_the_words_hold_every_figure() -> None:
    nothing = {"p50": None, "p95": None, "p99": None}
    text = as_text(
        {
            "captured": 10,
            "processed": 7,
            "dropped": {"stale": 2},
            "unaccounted": 1,
            "results": 9,
            "events": {"maskwatch.violation.started.v1": 3},
            "latency_ms": {"result": {"p50": 12.0, "p95": 20.0, "p99": 30.0}, "event": nothing},
            "events_expected": 4,
            "events_found": 3,
            "events_unseen": 1,
        }
    )
    words = (
        "captured 10",
        "processed 7",
        "stale 2",
        "unaccounted 1",
        "3 violation.started",
        "p95 20 ms",
        "3 of 4",
        "1 hardly",
    )
    assert [word for word in words if word not in text] == []
