"""``maskwatch feedback``: the desk's work, said in words or JSON."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.broker.client import Client, connect
from common.broker.feedback import PICTURE_SCHEME, Erasure, FeedbackDesk
from common.broker.frames.pictures import PictureStore
from common.errors import FeedbackRefusedError
from common.events import timestamp
from common.feedback import FeedbackEntry, FeedbackRecord, check_event_id, moment_of
from common.partition import Keys
from common.pictures import PictureRef
from common.settings import ServiceSettings, host_name, load
from maskwatch.connection import StateDesk, nearby_settings, secret
from maskwatch.run.neighbour import FRAMES, running_url


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be erased, as it was asked for."""

    about: str
    camera: str
    before: str
    by: str


def somebody() -> str:
    """Name the user at this machine."""
    try:
        return f"{getpass.getuser()}@{host_name()}"
    except (OSError, KeyError):  # a container's user need not have a name
        return f"somebody@{host_name()}"


def record(entry: FeedbackEntry, *, as_json: bool) -> None:
    """Hand one verdict in and print what it came to."""
    state = StateDesk.open(nearby_settings())
    pictured = entry.about.startswith(PICTURE_SCHEME)
    shown = _pictures(state.keys).get if pictured else None
    done = FeedbackDesk(state.client, state.keys, None if shown is None else lambda ref: shown(ref) is not None).record(
        entry
    )
    if as_json:
        print(json.dumps(_as_dict(done.record) | {"changed": done.changed}))
        return
    print(_words(done.record) + ("" if done.changed else "; was known already"))


def show(camera: str, *, contested: bool, as_json: bool) -> None:
    """Print the records, and how often alarms were right."""
    state = StateDesk.open(nearby_settings())
    desk = FeedbackDesk(state.client, state.keys)
    records = [one.record for one in desk.records() if not camera or one.record.camera.id == camera]
    meant = [one for one in records if not contested or one.state == "contested"]
    if as_json:
        print(json.dumps({"feedback": [_as_dict(one) for one in meant], "refused": desk.refusals()}))
        return
    for one in meant:
        print(_words(one))
    for line in _sums(records):
        print(line)
    for reason, count in desk.refusals().items():
        print(f"refused: {count} × {reason}")
    if not meant:
        print("nobody has said anything" if not records else "nobody contradicts anybody")


def queue(camera: str, *, as_json: bool) -> None:
    """Print the face crops that are there and that nobody has labelled, the one that ends first in front."""
    state = StateDesk.open(nearby_settings())
    known = {one.record.picture for one in FeedbackDesk(state.client, state.keys).records()}
    waiting = sorted(_pictures(state.keys).refs("crop", camera or None), key=lambda one: one.ends_ms)
    rows = [(one.ref.uri, timestamp(one.ends_ms / 1000)) for one in waiting if one.ref.uri not in known]
    if as_json:
        print(json.dumps([{"picture": uri, "until": until} for uri, until in rows]))
        return
    for uri, until in rows:
        print(f"{uri}  until {until}")
    if not rows:
        print("no face crop waits; they are kept only where a camera's policy consents (policies[].training)")


def erase(wanted: Wanted, samples: Path | None) -> None:
    """Erase records, pictures and, in a folder that is given, samples; prints what went.

    Raises:
        FeedbackRefusedError: Nothing was named, or what was named is not known; nothing was erased.
    """
    if not (wanted.about or wanted.camera or wanted.before):
        raise FeedbackRefusedError("fields", "name what to erase: an episode, --camera or --before")
    before_s = moment_of(wanted.before) if wanted.before else 0.0
    state = StateDesk.open(nearby_settings())
    desk = FeedbackDesk(state.client, state.keys)
    records = [one.record for one in desk.records()]
    subject = _subject(wanted.about, records) if wanted.about else ""
    order = Erasure(subject, wanted.camera, before_s, wanted.by)
    pictures = _pictures(state.keys)
    refs = list(_pictured(order, records, pictures))
    deleted = sum(pictures.delete(ref) for ref in refs)
    gone = desk.erase(order)
    print(f"erased: {len(gone)} records, {deleted} pictures on the frames broker")
    if samples is None:
        print("samples made of them: the order is left for the trainer, which carries it out at its next look")
        return
    from trainer.samples.collector import covered
    from trainer.samples.store import SampleStore

    count = SampleStore(samples).erase(lambda one: covered(one, order))
    print(f"erased: {count} samples in {samples}; nothing of them is left there")


def _pictured(order: Erasure, records: list[FeedbackRecord], pictures: PictureStore) -> Iterator[PictureRef]:
    found: set[PictureRef] = set()
    for one in records:
        if one.picture and order.covers(one.subject, one.camera.id, one.last_at):
            crop = PictureRef.of_uri(one.picture)
            found |= {crop, crop._replace(kind="snapshot")}
    if order.camera and not order.subject and not order.before_s:
        found |= {stored.ref for stored in pictures.refs(None, order.camera)}
    yield from found


def _subject(about: str, records: list[FeedbackRecord]) -> str:
    if about.startswith(PICTURE_SCHEME):
        return about
    wanted = check_event_id(about)
    known = {
        one.subject for one in records if wanted in (one.subject[: len(wanted)], (one.event_id or "")[: len(wanted)])
    }
    if len(known) == 1:
        return known.pop()
    if known:
        raise FeedbackRefusedError("event_id", f"{about!r} means {len(known)} episodes; give more of its characters")
    if len(wanted) == len("413bbb00-707e-5333-88da-5a3aec5c083b"):
        return wanted  # its record may have gone while a sample of it is still there
    raise FeedbackRefusedError("unknown_event", f"nothing was said of {about!r}; give the whole episode id to be sure")


def _pictures(keys: Keys) -> PictureStore:
    settings = load(ServiceSettings)
    known = "frames_url" in settings.model_fields_set
    url = settings.frames_url if known else running_url(FRAMES, settings.prefix)
    frames: Client = connect(url or settings.frames_url, password=secret(settings.frames_password))
    return PictureStore(frames, keys)


def _as_dict(one: FeedbackRecord) -> dict[str, Any]:
    return one.model_dump(mode="json") | {"state": one.state, "outcome": one.outcome, "right": one.right}


def _words(one: FeedbackRecord) -> str:
    given = ", ".join(f"{said.label} by {said.by}" for said in one.given)
    alarm = f"alarm {one.verdict}" if one.verdict else f"face {one.origin}"
    outcome = one.outcome or "undecided"
    judged = {True: ", alarm right", False: ", alarm wrong", None: ""}[one.right]
    state = "contested, " if one.state == "contested" else ""
    return f"{timestamp(one.last_at)}  {one.camera.id}  {one.subject}  {alarm}: {given} → {state}{outcome}{judged}"


def _sums(records: list[FeedbackRecord]) -> Iterator[str]:
    cameras: dict[str, list[bool]] = {}
    for one in records:
        if one.right is not None:
            cameras.setdefault(one.camera.id, []).append(one.right)
    for camera, right in sorted(cameras.items()):
        yield f"{camera}: {sum(right)} of {len(right)} judged alarms were right"
