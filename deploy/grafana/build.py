"""Writes the Grafana dashboards: ``python deploy/grafana/build.py``. The JSON beside it is made here and nowhere else.

A panel is one line below; `queries` gives every query to the test that asks a real Prometheus for each of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "maskwatch"}
COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: What it answers, for people.
        queries: Legend to PromQL.
        kind: ``timeseries``, ``stat``, ``state`` (a bar for each series over time) or ``bars``.
        unit: Grafana's name of the unit.
        width: Of 24 columns.
        about: Shown behind the panel's question mark.
    """

    title: str
    queries: dict[str, str]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: a file of its own, rows of panels."""

    uid: str
    title: str
    rows: dict[str, list[Panel]] = field(default_factory=dict)


SHIFT = Dashboard(
    "maskwatch-shift",
    "maskwatch: night shift",
    {
        "Is all well?": [
            Panel("Cameras with a picture", {"": 'sum(maskwatch_camera_state{state="online"})'}, "stat", width=4),
            Panel("Cameras without", {"": 'sum(maskwatch_camera_state{state=~"offline|frozen"})'}, "stat", width=4),
            Panel("Alerts", {"": 'count(ALERTS{alertstate="firing"}) or vector(0)'}, "stat", width=4),
            Panel("Oldest unread frame", {"": "max(maskwatch_backlog_seconds)"}, "stat", "s", 4),
            Panel("Partitions without a judge", {"": "maskwatch:partitions_without_judge"}, "stat", width=4),
            Panel("Events a minute", {"": "60 * sum(rate(maskwatch_events_total[2m]))"}, "stat", width=4),
        ],
        "Cameras": [
            Panel("State", {"{{camera}} {{state}}": "maskwatch_camera_state == 1"}, "state", width=12),
            Panel("Frames a second", {"{{camera}}": "maskwatch:frames_captured:rate1m"}, unit="cps", width=12),
        ],
        "In time?": [
            Panel(
                "From capture to result",
                {
                    "99 %": "maskwatch:capture_to_result_seconds:p99",
                    "half": "histogram_quantile(0.5,"
                    " sum by (le) (rate(maskwatch_capture_to_result_seconds_bucket[5m])))",
                },
                unit="s",
            ),
            Panel("From capture to event, 95 %", {"95 %": "maskwatch:capture_to_event_seconds:p95"}, unit="s"),
            Panel(
                "Frames not looked at, by reason",
                {"{{reason}}": "sum by (reason) (maskwatch:frames_dropped:rate1m) or vector(0)"},
                unit="cps",
            ),
        ],
    },
)

PIPELINE = Dashboard(
    "maskwatch-pipeline",
    "maskwatch: pipeline",
    {
        "Frames": [
            Panel(
                "Captured, looked at",
                {
                    "captured": "sum(maskwatch:frames_captured:rate1m)",
                    "looked at": "sum(maskwatch:frames_processed:rate1m)",
                },
                unit="cps",
            ),
            Panel("Backlog", {"{{camera}}": "maskwatch_backlog_seconds"}, unit="s"),
            Panel(
                "Frames in a batch",
                {"mean": "sum(rate(maskwatch_batch_size_sum[1m])) / sum(rate(maskwatch_batch_size_count[1m]))"},
            ),
        ],
        "Where the time goes": [
            Panel(
                "Time in each stage, share of a core",
                {"{{stage}}": "sum by (stage) (rate(maskwatch_stage_seconds_sum[1m]))"},
                unit="percentunit",
                width=12,
                about="1 is one core, all of the time.",
            ),
            Panel(
                "Processor time, by process",
                {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"maskwatch-.*"}[1m])'},
                unit="percentunit",
                width=12,
            ),
        ],
        "Judging": [
            Panel("Results judged", {"{{outcome}}": "sum by (outcome) (rate(maskwatch_results_judged_total[1m]))"}),
            Panel("Partitions held", {"{{instance}}": "maskwatch_partitions_owned"}),
            Panel("Commits refused", {"": "sum(increase(maskwatch_commits_fenced_total[10m]))"}, "stat"),
        ],
        "Brokers and memory": [
            Panel("Brokers answer", {"{{job}} {{endpoint}}": "maskwatch_broker_up"}, "state"),
            Panel("Memory of the brokers", {"{{endpoint}}": "max by (endpoint) (maskwatch_broker_memory_bytes)"},
                  unit="bytes"),
            Panel(
                "Memory of the processes",
                {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"maskwatch-.*"}'},
                unit="bytes",
            ),
        ],
    },
)  # fmt: skip

PEOPLE = Dashboard(
    "maskwatch-people",
    "maskwatch: people and models",
    {
        "People": [
            Panel(
                "People in the last window",
                {"{{place}} {{verdict}}": "max by (place, verdict) (maskwatch_window_persons)"},
                "bars",
                about="Windows of statistics; withheld counts show nothing.",
            ),
            Panel("Share without a mask", {"{{place}}": "maskwatch:unmasked:share"}, unit="percentunit"),
            Panel("Events", {"{{type}}": "sum by (type) (increase(maskwatch_events_total[5m]))"}),
        ],
        "Models": [
            Panel(
                "Versions in service",
                {"{{kind}} {{name}} {{version}}": "count by (kind, name, version) (maskwatch_model_info)"},
            ),
            Panel("Generation, by worker", {"{{instance}}": "maskwatch_model_generation"}),
            Panel(
                "Batches with faces",
                {"": 'sum(rate(maskwatch_stage_seconds_count{stage="classify"}[1m]))'},
                unit="cps",
            ),
        ],
    },
)  # fmt: skip

DASHBOARDS = (SHIFT, PIPELINE, PEOPLE)


def queries() -> list[tuple[str, str, str]]:
    """Give dashboard, panel and query of every query."""
    return [
        (board.uid, panel.title, query)
        for board in DASHBOARDS
        for panels in board.rows.values()
        for panel in panels
        for query in panel.queries.values()
    ]


def document(board: Dashboard) -> dict[str, Any]:
    """Give a dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in board.rows.items():
        panels.append({"type": "row", "title": title, "id": len(panels) + 1, "panels": [], "collapsed": False,
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})  # fmt: skip
        height = 4 if all(panel.kind == "stat" for panel in row) else 8
        x = 0
        for panel in row:
            panels.append(_panel(panel, len(panels) + 1, {"x": x, "y": y + 1, "w": panel.width, "h": height}))
            x += panel.width
        y += 1 + height
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["maskwatch"],
        "schemaVersion": 41,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    kinds = {"timeseries": "timeseries", "stat": "stat", "state": "state-timeline", "bars": "bargauge"}
    targets = [
        {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend, "datasource": SOURCE}
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "type": kinds[panel.kind],
        "title": panel.title,
        "description": panel.about,
        "id": number,
        "gridPos": place,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
    }


def texts() -> dict[str, str]:
    """Give the content of each file, by its name."""
    return {f"{board.uid}.json": json.dumps(document(board), indent=1) + "\n" for board in DASHBOARDS}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, "utf-8")
