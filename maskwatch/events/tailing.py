"""``maskwatch events tail``: the event log line by line, with gaps announced and failovers survived."""

from __future__ import annotations

import json
from dataclasses import replace

from common.lifecycle import StopSignal
from common.subscriber import Event, Gap, Item, Subscriber, Subscription
from maskwatch.connection import nearby_settings
from maskwatch.run.table import event_line


def tail_events(wanted: Subscription, *, as_json: bool) -> None:
    """Print events until stopped, or until the log's end where ``wanted.follow`` is False.

    A start of ``@NAME`` goes on where the last reader of that name stopped, and remembers how far this one came.
    """
    stop = StopSignal().install()
    if wanted.start.startswith("@"):
        wanted = replace(wanted, start="now", name=wanted.start[1:])
    with Subscriber.open(nearby_settings(), wanted, stop=stop) as events:
        for item in events:
            print(_line(item, as_json=as_json), flush=True)


def _line(item: Item, *, as_json: bool) -> str:
    if isinstance(item, Gap):
        return json.dumps({"gap": _gap(item)}) if as_json else _gap_words(item)
    return item.raw.decode() if as_json else _event_words(item)


def _event_words(event: Event) -> str:
    try:
        episode = f"  {event.body['subject'][:8]}" if event.type.startswith("maskwatch.violation.") else ""
        return event_line(dict(event.body)) + episode
    except (KeyError, TypeError):  # a type that this program does not know yet; subscribers must bear those
        return f"{event.body.get('time', '')[11:19]}  {event.camera}  {event.type}"


def _gap(gap: Gap) -> dict[str, str | int]:
    return {"partition": gap.partition, "asked_after": gap.after, "oldest_kept": gap.until, "reason": gap.reason}


def _gap_words(gap: Gap) -> str:
    if gap.reason == "unreadable":
        return f"gap: partition {gap.partition}: entry {gap.until} holds no event that can be read"
    return f"gap: partition {gap.partition}: events between {gap.after} and {gap.until} are gone from the log"
