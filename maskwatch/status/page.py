"""``maskwatch status``: the situation and its troubles in the terminal, once or again and again, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.errors import BrokerError
from common.lifecycle import StopSignal
from common.settings import ServiceSettings
from maskwatch.status.situation import BrokerFacts, Situation, survey
from maskwatch.status.troubles import Trouble, troubles

_STYLES = {"online": "green", "page": "bold red", "ticket": "yellow"}


def show_status(settings: ServiceSettings, *, as_json: bool, watch_s: float) -> int:
    """Print the situation; gives exit status 1 where something is wrong that wakes somebody.

    Args:
        settings: How to reach the brokers.
        as_json: One JSON object instead of tables.
        watch_s: Look again every so many seconds until stopped; 0: once.
    """
    if as_json or not watch_s:
        now = look(settings)
        found = troubles(now)
        if as_json:
            print(json.dumps(document(now, found)))
        else:
            Console().print(page(now, found))
        return 1 if any(one.weight == "page" for one in found) else 0
    stop = StopSignal().install()
    now = look(settings)
    with Live(page(now, troubles(now)), auto_refresh=False, screen=True) as live:
        while not stop.wait(watch_s):
            now = look(settings)
            live.update(page(now, troubles(now)), refresh=True)
    return 0


def look(settings: ServiceSettings) -> Situation:
    """Survey the installation; where the state broker is away, that is all there is to say."""
    try:
        return survey(settings)
    except BrokerError as error:
        return Situation(brokers={"state": BrokerFacts(trouble=str(error))})


def document(now: Situation, found: list[Trouble]) -> dict[str, object]:
    """Give the situation for programs; ``ok`` is False where something would wake somebody."""
    facts = asdict(now)
    return {"ok": all(one.weight != "page" for one in found), "troubles": [asdict(one) for one in found], **facts}


def page(now: Situation, found: list[Trouble]) -> RenderableType:
    """Lay the situation out for people: what is wrong above, figures below."""
    head = (
        f"{now.site or 'no site'} · plan {now.plan} · models generation {now.generation} · privacy {now.privacy or '–'}"
    )
    parts: list[RenderableType] = [Text(head, "bold")]
    if not found:
        parts.append(Text("all is well", "green"))
    for one in found:
        line = Text(f"{one.weight:6} {one.words}", _STYLES[one.weight])
        parts.append(line.append(f"   docs/alerts.md#{one.alert.lower()}", "dim"))
    if now.cameras:
        parts += [Text(), _cameras(now)]
    parts += [Text(), _processes(now)]
    return Group(*parts)


def _cameras(now: Situation) -> Table:
    table = Table(box=None)
    for name in ("camera", "state", "fps in", "looked at", "backlog", "not looked at"):
        table.add_column(name, justify="left" if name in ("camera", "state", "not looked at") else "right")
    for name, camera in sorted(now.cameras.items()):
        backlog = "–" if camera.backlog_s is None else f"{camera.backlog_s:.1f} s"
        dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(camera.dropped.items()))
        state = Text(camera.state, _STYLES.get(camera.state, "red"))
        figures = (f"{camera.fps_captured:.1f}", f"{camera.fps_processed:.1f}", backlog, dropped)
        table.add_row(name, state, *figures)
    return table


def _processes(now: Situation) -> Table:
    table = Table(box=None, show_header=False)
    for name, worker in sorted(now.workers.items()):
        generation = "" if worker.generation is None else f"generation {worker.generation}, {worker.state}"
        table.add_row("infer", name, f"{worker.fps:.1f} frames/s", worker.models, generation)
    held: dict[str, list[int]] = {}
    for number, owner in sorted(now.owners.items()):
        held.setdefault(owner, []).append(number)
    for owner, numbers in sorted(held.items()):
        late = max((now.unjudged_s.get(number, 0.0) for number in numbers), default=0.0)
        table.add_row(
            "judge", owner, f"{len(numbers)} of {now.partitions} partitions", f"oldest result {late:.1f} s", ""
        )
    table.add_row("notify", now.notifier or "nobody on duty", "", "", "")
    for name, broker in now.brokers.items():
        memory = "" if broker.memory_bytes is None else f"{broker.memory_bytes / 2**20:.0f} MiB"
        limit = f" of {broker.limit_bytes / 2**20:.0f}" if broker.limit_bytes else ""
        table.add_row("broker", name, broker.server or "does not answer", memory + limit, "")
    return table
