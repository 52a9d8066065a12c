"""The live table of a run in the terminal: cameras above, the last events below."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from maskwatch.run.monitor import CameraFigures, Monitor

EVENTS_BELOW = 10
STATE_STYLES = {"online": "green", "waiting": "dim", "offline": "bold red"}
VERDICT_STYLES = {"mask": "green", "no_mask": "red", "incorrect": "yellow", "undetermined": "dim"}


def render(monitor: Monitor, title: str, left_s: float | None) -> RenderableType:
    """Draw the state of a run; ``left_s`` is the time until it ends by itself, if it does."""
    now = time.time()
    cameras = _cameras(monitor.figures(), now)
    events = Table.grid(padding=(0, 2))
    for event in list(monitor.events)[-EVENTS_BELOW:]:
        events.add_row(*_event_row(event))
    caption = title if left_s is None else f"{title} · {left_s:.0f} s left"
    return Group(Panel(cameras, title=caption, title_align="left"), Panel(events, title="events", title_align="left"))


def event_line(event: dict[str, Any]) -> str:
    """Write an event as one line for people."""
    return "  ".join(cell.plain for cell in _event_row(event)).rstrip()


def _cameras(figures: dict[str, CameraFigures], now: float) -> Table:
    table = Table(box=None, expand=True)
    table.add_column("camera")
    for name in ("state", "fps in", "fps out", "faces", "mask", "no mask", "incorrect", "latency", "dropped"):
        table.add_column(name, justify="left" if name == "state" else "right")
    for camera, one in figures.items():
        latency = one.latency_s(now)
        drops = ", ".join(f"{reason} {count}" for reason, count in sorted(one.dropped.items()) if count)
        table.add_row(
            camera,
            Text(one.state, STATE_STYLES.get(one.state, "yellow")),
            f"{one.fps_in:.1f}",
            f"{one.fps_out(now):.1f}",
            str(one.faces),
            Text(str(one.verdicts["mask"]), VERDICT_STYLES["mask"]),
            Text(str(one.verdicts["no_mask"]), VERDICT_STYLES["no_mask"]),
            Text(str(one.verdicts["incorrect"]), VERDICT_STYLES["incorrect"]),
            "–" if latency is None else f"{1000 * latency:.0f} ms",
            drops or "0",
        )
    return table


def _event_row(event: dict[str, Any]) -> tuple[Text, Text, Text, Text]:
    data = event["data"]
    kind = event["type"].removeprefix("maskwatch.").removesuffix(".v1")
    clock = Text(event["time"][11:19], "dim")
    camera = Text(event["partitionkey"])
    if kind == "feedback.recorded":
        right = {True: ", alarm right", False: ", alarm wrong"}.get(data["right"], "")
        contested = ", contested" if data["state"] == "contested" else ""
        return clock, camera, Text(kind), Text(f"{data['label']} by {data['by']}{right}{contested}")
    if kind == "compliance.window":
        rate, observed = data["compliance_rate"], data["persons_observed"]
        people = "withheld" if observed is None else f"{observed} people"
        words = people if rate is None else f"{people}, {rate:.1%} masked"
        return clock, camera, Text(kind), Text(words)
    if kind.startswith("incident."):
        return clock, camera, Text(kind), Text(f"{data['rule']}: {data['persons']} people, at most {data['peak']}")
    if not kind.startswith("violation."):
        return clock, camera, Text(kind), Text(f"{data.get('state', '')} {data.get('cause', '')}".strip())
    verdict = data["verdict"]
    votes = data["votes"]
    words = (
        f"{verdict} ({data['confidence']:.0%}, {votes.get(verdict, 0)} of {votes['frames']} frames), {data['reason']}"
    )
    return clock, camera, Text(kind), Text(words, VERDICT_STYLES.get(verdict, ""))
