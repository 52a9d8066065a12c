"""``maskwatch up``: runs a site here, shows it, ends it in order and sums it up."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from common.broker.client import connect
from common.broker.frames.peek import FramePeek
from common.lifecycle import Deadline, StopSignal
from common.log import configure
from common.partition import DEFAULT_PARTITIONS
from common.scale import scale_advice
from common.settings import ServiceSettings, load
from common.siteplan import SitePlan
from maskwatch.connection import StateDesk
from maskwatch.run.gallery import Gallery, NoGallery, PageGallery
from maskwatch.run.monitor import Monitor, OnResult
from maskwatch.run.station import Station, StationSettings
from maskwatch.run.summary import account_of, as_text, summarise
from maskwatch.run.table import event_line, render

DRAIN_DEADLINE_S = 15.0
TABLE_PERIOD_S = 0.5
LINE_PERIOD_S = 5.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asked for.

    Attributes:
        seconds: End by itself after so many seconds; 0 runs on.
        json_summary: Print the summary as one JSON object, last.
        workers: Inference processes.
        view_port: Port of the browser page, or None for no page.
        backend: Inference backend; empty for the default.
        data: Folder that keeps events and state, or None.
        trainer: Run the trainer as well.
    """

    seconds: float
    json_summary: bool
    workers: int
    view_port: int | None
    backend: str
    data: Path | None
    trainer: bool = False


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run leaves.

    Attributes:
        summary: See `maskwatch.run.summary.summarise`.
        events: Every event in the order it was logged.
        first_frame_s: When the last of the cameras took its first frame, s since the epoch.
        ended_s: When the cameras were told to stop, s since the epoch.
    """

    summary: dict[str, Any]
    events: list[dict[str, Any]]
    first_frame_s: float
    ended_s: float


def run_site(plan: SitePlan, options: RunOptions) -> int:
    """Run a plan on this machine until its time is over, its files are at their end, or somebody stops it."""
    report = run(plan, options, f"maskwatch · {plan.site}")
    print_summary(report.summary, as_json=options.json_summary)
    return 0 if report.summary["unaccounted"] == 0 else 1


def run(plan: SitePlan, options: RunOptions, title: str, note: OnResult = lambda _: None) -> RunReport:
    """Run a plan and report; what people watch goes to standard error, standard output is left to the summary.

    Args:
        plan: What is run.
        options: How.
        title: Shown above the table.
        note: Told of each frame that was looked at, in the order of the results.
    """
    configure("warning")
    stop = StopSignal().install()
    console = Console(stderr=True)
    for words in scale_advice(len(plan.cameras), load(ServiceSettings).partitions or DEFAULT_PARTITIONS):
        console.print(f"note: {words}", highlight=False, soft_wrap=True)
    with (
        Station(plan, StationSettings(options.workers, options.backend, options.data, options.trainer)) as station,
        _gallery(station, plan, options.view_port) as gallery,
    ):
        before = account_of(station.desk)
        monitor = Monitor(station.desk, (note, gallery.show_result), gallery.show_event)
        monitor.start()
        station.start_producer()
        _announce(console, station, gallery)
        _watch(station, monitor, options, (console, title, stop))
        ended = time.time()
        station.stop_producer()
        _drain(station.desk, monitor, [camera.id for camera in plan.cameras])
        monitor.stop()
        first = max((one.first_at for one in monitor.figures().values() if one.first_at), default=ended)
        return RunReport(summarise(before, account_of(station.desk), monitor), monitor.all_events, first, ended)


def _gallery(station: Station, plan: SitePlan, port: int | None) -> Gallery:
    if port is None:
        return NoGallery()
    return PageGallery(FramePeek(connect(station.connection.frames_url), station.desk.keys), plan, port)


def print_summary(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print the summary on standard output, as the last thing."""
    sys.stderr.flush()
    print(json.dumps(summary) if as_json else as_text(summary), flush=True)


def _watch(station: Station, monitor: Monitor, options: RunOptions, scene: tuple[Console, str, StopSignal]) -> None:
    console, title, stop = scene
    deadline = Deadline.after(options.seconds) if options.seconds else None
    if not console.is_terminal:
        _watch_lines(station, monitor, deadline, (console, stop))
        return
    with Live(console=console, refresh_per_second=4, get_renderable=lambda: _picture(monitor, title, deadline)):
        while not _over(station, deadline) and not stop.wait(TABLE_PERIOD_S):
            station.watch()


def _watch_lines(
    station: Station, monitor: Monitor, deadline: Deadline | None, scene: tuple[Console, StopSignal]
) -> None:
    console, stop = scene
    shown = 0
    next_line = time.monotonic() + LINE_PERIOD_S
    while not _over(station, deadline) and not stop.wait(TABLE_PERIOD_S):
        station.watch()
        for event in monitor.all_events[shown:]:
            console.print(event_line(event), highlight=False, soft_wrap=True)
            shown += 1
        if time.monotonic() >= next_line:
            next_line += LINE_PERIOD_S
            console.print(_line(monitor, deadline), highlight=False, soft_wrap=True)


def _picture(monitor: Monitor, title: str, deadline: Deadline | None) -> Any:
    return render(monitor, title, deadline.left_s() if deadline else None)


def _line(monitor: Monitor, deadline: Deadline | None) -> str:
    now = time.time()
    figures = monitor.figures()
    parts = [f"{camera} {one.state} {one.fps_out(now):.1f} fps" for camera, one in figures.items()]
    left = f" · {deadline.left_s():.0f} s left" if deadline else ""
    return " | ".join(parts) + left


def _over(station: Station, deadline: Deadline | None) -> bool:
    return station.cameras_finished() or (deadline is not None and deadline.spent())


def _drain(desk: StateDesk, monitor: Monitor, cameras: list[str]) -> None:
    """Wait until the last word of every camera and all its frames have been judged, so that nothing is cut off."""
    deadline = Deadline.after(DRAIN_DEADLINE_S)
    pause = StopSignal()
    while not deadline.spent():
        if monitor.all_final(cameras) and monitor.judged() and account_of(desk).unaccounted == 0:
            return
        pause.wait(0.1)


def _announce(console: Console, station: Station, gallery: Gallery) -> None:
    ports = ", ".join(f"{name} http://127.0.0.1:{port}/metrics" for name, port in station.ports.items())
    console.print(f"metrics: {ports}", highlight=False, soft_wrap=True)
    if gallery.url:
        console.print(f"view: {gallery.url}", highlight=False, soft_wrap=True)
