"""Follows the plan for what may be pictured, and lets the pictures that events name live on.

Every worker does this; to extend a picture twice changes nothing, so no lease is needed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from common.broker.events.log import EventLog
from common.broker.frames.pictures import PictureStore
from common.broker.planfeed import PlanFeed
from common.errors import BrokerError, SitePlanError
from common.log import Log, OncePer
from common.pictures import PictureRef, PictureRules
from common.siteplan import SitePlan
from workers.infer.metrics import InferMetrics
from workers.infer.pictures.candidates import Candidates

LOOK_EVERY_S = 1.0
SWEEP_EVERY_S = 30.0
LOOK_BACK_MS = 60_000
EVENTS_AT_A_TIME = 500
_log = Log("infer")


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the keeper works on.

    Attributes:
        feed: The published plan; its own, as each reader takes a new plan once.
        events: The event log.
        partitions: Partition count.
        store: The pictures.
        now_ms: Gives the state broker's clock, ms.
    """

    feed: PlanFeed
    events: EventLog
    partitions: int
    store: PictureStore
    now_ms: Callable[[], int]


class PictureKeeper:
    """A thread that looks once a second; a context manager. Brokers that are away only delay it."""

    def __init__(self, shelf: Shelf, candidates: Candidates, metrics: InferMetrics) -> None:
        self._shelf = shelf
        self._candidates = candidates
        self._metrics = metrics
        self._cursors: dict[int, str] = {}
        self._sweep_at = float("-inf")
        self._once = OncePer(10.0, time.monotonic)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """Take up a new plan, extend what events have named since the last look, remove what may not be there.

        Raises:
            BrokerError: A broker does not answer; the next look goes on where this one ended.
        """
        self._follow_plan()
        if self._shelf.feed.in_force and time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_EVERY_S
            self._sweep()
        if self._candidates.rules:
            self._keep()
        else:
            self._cursors = {}

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except BrokerError as error:
                if self._once.permit(error.code) is not None:
                    _log.warning("pictures_not_kept", code=error.code)
            except Exception as error:  # noqa: BLE001 - pictures that are not kept end by themselves; frames go on
                if self._once.permit(type(error).__name__) is not None:
                    _log.error("pictures_not_kept", error=type(error).__name__)
            if self._end.wait(LOOK_EVERY_S):
                return

    def _follow_plan(self) -> None:
        try:
            plan = self._shelf.feed.poll()
        except SitePlanError:
            return  # told by who looks after the cameras; the plan in force stays
        if plan is not None:
            self._candidates.rules = rules_of(plan)
            self._sweep_at = float("-inf")
            _log.info("picture_rules", cameras=len(self._candidates.rules))

    def _sweep(self) -> None:
        """Remove the pictures that the plan does not allow, or no longer allows."""
        rules = self._candidates.rules
        for stored in list(self._shelf.store.refs()):
            if not _allowed(stored.ref, rules):
                self._shelf.store.delete(stored.ref)
                _log.info("picture_removed", camera=stored.ref.camera, kind=stored.ref.kind)

    def _keep(self) -> None:
        now_ms = self._shelf.now_ms()
        if not self._cursors:
            self._cursors = dict.fromkeys(range(self._shelf.partitions), f"{max(0, now_ms - LOOK_BACK_MS)}-0")
        for logged in self._shelf.events.read(self._cursors, 0, EVENTS_AT_A_TIME):
            for ref, until_ms in named_in(logged.event):
                self._extend(ref, until_ms - now_ms)
            self._cursors[logged.partition] = logged.entry_id

    def _extend(self, ref: PictureRef, left_ms: int) -> None:
        rules = self._candidates.rules.get(ref.camera)
        if rules is None or not _allowed(ref, self._candidates.rules):
            return
        longest_ms = round(1000 * (rules.snapshot_s if ref.kind == "snapshot" else rules.crop_s))
        if left_ms > 0 and self._shelf.store.extend(ref, min(left_ms, longest_ms)):
            self._metrics.pictures_kept.labels(ref.kind).inc()


def rules_of(plan: SitePlan) -> Mapping[str, PictureRules]:
    """Give the cameras of a plan at which pictures may be made, with what is allowed there."""
    found = {camera.id: plan.pictures_of(camera.id) for camera in plan.cameras}
    return {camera: rules for camera, rules in found.items() if not rules.silent}


def named_in(event: bytes) -> Iterator[tuple[PictureRef, int]]:
    """Find the pictures that an event names, and until when each is to be kept, Unix ms; other events name none."""
    try:
        data = json.loads(event)["data"]
        shown = [(data.get("snapshot"), data.get("privacy") or {}), (data.get("crop"), data.get("crop") or {})]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for picture, holder in shown:
        try:
            yield PictureRef.of_uri(picture["uri"]), _unix_ms(holder["retain_until"])
        except (ValueError, KeyError, TypeError):
            continue


def _allowed(ref: PictureRef, rules: Mapping[str, PictureRules]) -> bool:
    found = rules.get(ref.camera)
    return found is not None and (found.snapshots if ref.kind == "snapshot" else found.crops)


def _unix_ms(text: Any) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
