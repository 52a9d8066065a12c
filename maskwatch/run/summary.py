"""The summary of a run: frames that add up, events by type, and latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from maskwatch.connection import StateDesk
from maskwatch.run.monitor import Monitor
from workers.judge.accounting import Accounting
from workers.judge.state import read_accounting


def account_of(desk: StateDesk) -> Accounting:
    """Add up what the judge has committed for all cameras since the beginning of its state."""
    account = Accounting()
    for number in range(desk.keys.partitions):
        for state in desk.partitions.load(number).cameras.values():
            account += read_accounting(state)
    return account


def summarise(before: Accounting, after: Accounting, monitor: Monitor) -> dict[str, Any]:
    """Collect a run's figures.

    Frames are taken from the judge's committed state, which survives the death of any process; ``captured`` is the
    producers' own word, ``processed`` and ``dropped`` are what became of each frame, ``unaccounted`` is the rest.

    Args:
        before: The account when the run began; not empty where the state was kept from an earlier one.
        after: The account at its end.
        monitor: What was seen in between.
    """
    captured, processed = after.captured - before.captured, after.processed - before.processed
    dropped = Counter(after.all_dropped())
    dropped.subtract(before.all_dropped())
    return {
        "captured": captured,
        "processed": processed,
        "dropped": dict(sorted((reason, count) for reason, count in dropped.items() if count)),
        "unaccounted": captured - processed - dropped.total(),
        "results": sum(figures.results for figures in monitor.figures().values()),
        "events": dict(sorted(Counter(event["type"] for event in monitor.all_events).items())),
        "latency_ms": {
            "result": quantiles_ms(monitor.result_latencies_s),
            "event": quantiles_ms(monitor.event_latencies_s),
        },
    }


def quantiles_ms(latencies_s: Iterable[float]) -> dict[str, float | None]:
    """Give p50, p95 and p99 in ms by the nearest-rank rule; None where nothing was measured."""
    values = sorted(latencies_s)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    if not values:
        return dict.fromkeys(ranks)
    last = len(values) - 1
    return {name: round(1000 * values[min(last, int(rank * len(values)))], 1) for name, rank in ranks.items()}


def as_text(summary: dict[str, Any]) -> str:
    """Write the summary for people."""
    dropped = ", ".join(f"{reason} {count}" for reason, count in summary["dropped"].items()) or "none"
    events = ", ".join(f"{count} {_short(kind)}" for kind, count in summary["events"].items()) or "none"
    lines = [
        f"frames    captured {summary['captured']}, processed {summary['processed']}, dropped: {dropped}, "
        f"unaccounted {summary['unaccounted']}",
        f"events    {events}",
    ]
    for name, values in summary["latency_ms"].items():
        shown = ", ".join(f"{rank} {'–' if value is None else f'{value:.0f} ms'}" for rank, value in values.items())
        lines.append(f"capture to {name:7} {shown}")
    if "events_expected" in summary:
        unseen = f", {summary['events_unseen']} hardly looked at" if summary["events_unseen"] else ""
        lines.append(
            f"truth     {summary['events_found']} of {summary['events_expected']} expected episodes found{unseen}"
        )
    return "\n".join(lines)


def _short(kind: str) -> str:
    return kind.removeprefix("maskwatch.").removesuffix(".v1")
