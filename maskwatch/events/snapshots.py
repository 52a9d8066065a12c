"""``maskwatch events snapshot``: gives out one picture, after it was noted who asked for it."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from common.broker.client import connect
from common.broker.events.search import EventSearch
from common.broker.frames.pictureaccess import AccessLog
from common.broker.frames.pictures import PictureStore
from common.errors import ConfigError
from common.log import Log, configure
from common.pictures import PictureRef
from common.settings import ServiceSettings, load
from maskwatch.connection import StateDesk, nearby_settings, secret
from maskwatch.run.neighbour import FRAMES, running_url

LEAST_ID = 8
_log = Log("snapshot")


def fetch(about: str, out: Path, by: str) -> int:
    """Write the snapshot of an event into a file; gives 1 where there is none (any more), with the reason.

    Args:
        about: Id of a violation event or its episode, 8 characters do.
        out: File to write, readable by its owner only.
        by: Who asks.

    Raises:
        MaskwatchError: There is no such event, the look could not be noted, or a broker does not let us.
    """
    if len(about) < LEAST_ID:
        raise ConfigError(f"{about!r} is too short: give at least {LEAST_ID} characters of the event's id")
    configure()
    settings = nearby_settings()
    desk = StateDesk.open(settings)
    event = EventSearch(desk.client, desk.keys).find(about.lower())
    snapshot = (event.get("data") or {}).get("snapshot")
    if not snapshot:
        return _nothing(f"event {event['id']} has no snapshot")
    ref = PictureRef.of_uri(snapshot["uri"])
    looks = AccessLog(desk.client, desk.keys).note(ref, by, str(event["id"]))
    _log.info("snapshot_access", by=by, uri=ref.uri, event_id=str(event["id"]), looks=looks)
    data = _store(settings, desk).get(ref)
    if data is None:
        return _nothing(f"the snapshot of event {event['id']} is gone; it was to be kept until {_until(event)}")
    if hashlib.sha256(data).hexdigest() != snapshot.get("sha256"):
        return _nothing(f"the snapshot of event {event['id']} is not the one that the event names")
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    print(f"{out}: {snapshot['width']}×{snapshot['height']}, taken for event {event['id']}")
    return 0


def frames_url(settings: ServiceSettings) -> str:
    """Give the frames broker's URL: what the environment names, else that of a run on this machine."""
    known = "frames_url" in settings.model_fields_set
    return settings.frames_url if known else running_url(FRAMES, settings.prefix) or settings.frames_url


def _store(settings: ServiceSettings, desk: StateDesk) -> PictureStore:
    named = load(ServiceSettings)
    return PictureStore(connect(frames_url(named), password=secret(settings.frames_password)), desk.keys)


def _until(event: dict[str, object]) -> str:
    data = event["data"]
    return str(data["privacy"]["retain_until"]) if isinstance(data, dict) else "?"


def _nothing(why: str) -> int:
    print(f"maskwatch: {why}", file=sys.stderr)
    return 1
