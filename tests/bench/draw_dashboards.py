"""Draws the dashboards from a real run: ``python -m tests.bench.draw_dashboards [FOLDER] [SECONDS]``.

The figures are what a real Prometheus answers to each panel's query; the drawing is ours: no Grafana is at hand.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import yaml
from matplotlib import pyplot
from matplotlib.axes import Axes

from tests.dashboards import dashboards
from tests.e2e.station_run import StationRun
from tests.e2e.test_dashboards import PLAN, ROLES
from tests.prometheus_server import Prometheus, metrics_ports
from tests.waiting import until

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
ROOM = 6


def draw(board: Any, server: Prometheus, seconds: float, path: Path) -> None:
    """Draw one dashboard over the last ``seconds`` s."""
    rows = list(board.rows.items())
    figure = pyplot.figure(figsize=(15, 3.0 * len(rows)), layout="constrained")
    figure.suptitle(board.title, x=0.01, ha="left", fontweight="bold")
    for part, (title, panels) in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=10, color="dimgray")
        widths = [panel.width for panel in panels]
        axes = part.subplots(1, len(panels), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
        for axis, panel in zip(axes, panels, strict=True):
            axis.set_title(panel.title, fontsize=9, loc="left")
            {"stat": _stat, "state": _states, "bars": _bars}.get(panel.kind, _lines)(axis, panel, server, seconds)
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def _name(legend: str, labels: dict[str, str]) -> str:
    for key, value in labels.items():
        legend = legend.replace(f"{{{{{key}}}}}", value)
    return legend


def _unit(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.0%}"
    return f"{value / 2**20:.0f} MiB" if unit == "bytes" else f"{value:.3g}{' s' if unit == 's' else ''}"


def _stat(axis: Axes, panel: Any, server: Prometheus, _seconds: float) -> None:
    (query,) = panel.queries.values()
    found = server.query(query)
    text = _unit(float(found[0]["value"][1]), panel.unit) if found else "no data"
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=22, color="seagreen")
    axis.axis("off")


def _lines(axis: Axes, panel: Any, server: Prometheus, seconds: float) -> None:
    scale = 2**20 if panel.unit == "bytes" else 1
    for legend, query in panel.queries.items():
        for series in server.history(query, seconds)[:ROOM]:
            points = [(float(at), float(value) / scale) for at, value in series["values"]]
            last = points[-1][0]
            finite = [(at - last, value) for at, value in points if math.isfinite(value)]
            axis.plot(*zip(*finite, strict=True), label=_name(legend, series["metric"]) if finite else None)
    axis.set_ylim(bottom=0)
    axis.set_ylabel(
        {"bytes": "MiB", "cps": "a second", "percentunit": "share", "short": ""}.get(panel.unit, panel.unit), fontsize=7
    )
    axis.tick_params(labelsize=7)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=6, loc="lower left")


def _states(axis: Axes, panel: Any, server: Prometheus, seconds: float) -> None:
    ((legend, query),) = panel.queries.items()
    names = []
    for row, series in enumerate(server.history(query, seconds)[:ROOM]):
        times = [float(at) for at, value in series["values"] if float(value) == 1]
        axis.barh(row, times[-1] - times[0] if times else 0, left=times[0] if times else 0, color="seagreen")
        names.append(_name(legend, series["metric"]))
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xticks([])


def _bars(axis: Axes, panel: Any, server: Prometheus, _seconds: float) -> None:
    ((legend, query),) = panel.queries.items()
    found = server.query(query)
    names = [_name(legend, series["metric"]) for series in found]
    axis.barh(names, [float(series["value"][1]) for series in found], color="steelblue")
    axis.tick_params(labelsize=7)


def _watched_s(server: Prometheus, seconds: float) -> int:
    return max((len(series["values"]) for series in server.history("up", seconds)), default=0)


def main() -> None:
    """Run two cameras, watch them, draw."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 150.0
    mpl.use("Agg")
    with TemporaryDirectory() as scratch:
        plan = Path(scratch) / "site.yaml"
        plan.write_text(yaml.safe_dump(PLAN))
        with StationRun("up", str(plan), "--seconds", str(seconds + 120)) as run:
            until(lambda: {name.split()[0] for name in metrics_ports(run.process.pid)} >= ROLES, 90)
            with Prometheus(Path(scratch), metrics_ports(run.process.pid)) as server:
                until(lambda: _watched_s(server, seconds) >= seconds - 2, seconds + 60)
                for board in dashboards().DASHBOARDS:
                    path = folder / f"dashboard-{board.uid.removeprefix('maskwatch-')}.png"
                    draw(board, server, seconds, path)
                    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
