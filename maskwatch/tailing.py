"""``maskwatch events tail``: the event log line by line, with gaps announced and failovers survived."""

from __future__ import annotations

import json

from common.broker.eventlog import EventLog
from common.errors import BrokerUnavailableError
from common.lifecycle import StopSignal
from maskwatch.connection import READ_BLOCK_S, desk
from maskwatch.table import event_line

READ_COUNT = 500


def tail_events(start: str, camera: str, *, as_json: bool, follow: bool) -> None:
    """Print events from ``start`` on until stopped, or until the log's end where ``follow`` is False."""
    stop = StopSignal().install()
    log = desk().events
    cursors = log.start_cursors(start)
    _announce_gaps(log, cursors if start not in ("0", "now") else {}, as_json=as_json)
    while not stop.is_set():
        try:
            events = log.read(cursors, READ_BLOCK_S if follow else 0, READ_COUNT)
        except BrokerUnavailableError:
            stop.wait(0.5)
            cursors = _rejoin(log, cursors)
            continue
        for event in events:
            cursors[event.partition] = event.entry_id
            if camera in ("", event.camera):
                print(event.event.decode() if as_json else event_line(json.loads(event.event)), flush=True)
        if not events and not follow:
            return


def _rejoin(log: EventLog, cursors: dict[int, str]) -> dict[int, str]:
    try:
        return log.rewind(cursors)
    except BrokerUnavailableError:
        return cursors


def _announce_gaps(log: EventLog, cursors: dict[int, str], *, as_json: bool) -> None:
    for partition, first in log.gaps(cursors).items():
        notice = {"gap": {"partition": partition, "asked_after": cursors[partition], "oldest_kept": first}}
        words = f"gap: partition {partition} keeps nothing before {first}; events before it are gone"
        print(json.dumps(notice) if as_json else words, flush=True)
