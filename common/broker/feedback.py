"""The desk where people hand in what they think of an alarm, or of a face that was shown to them (state endpoint).

    desk = FeedbackDesk(client, keys)
    desk.record(FeedbackEntry("413bbb00-707e-5333-88da-5a3aec5c083b", "mask", "ana@desk"))

Each word is stored with its episode and becomes a ``maskwatch.feedback.recorded.v1`` event. ``docs/feedback.md``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from common.advice import nearest
from common.broker.client import Client, call
from common.broker.events.search import EventSearch
from common.broker.lag import broker_now_ms
from common.broker.planfeed import read_plan
from common.broker.plans import PlanStore
from common.broker.reading import Entries, entries_of
from common.broker.siteinbox import SiteInbox, SiteNews
from common.broker.verdicts import StoredRecord, VerdictStore
from common.errors import FeedbackRefusedError, SitePlanError
from common.events import FEEDBACK_TYPE, CameraInfo, episode_event_id
from common.feedback import FeedbackEntry, FeedbackRecord, GivenLabel, check_entry, check_event_id, record_of
from common.log import Log
from common.partition import Keys
from common.pictures import PictureRef, drawn
from common.siteplan import SitePlan

PICTURE_SCHEME = "maskwatch:"
ERASURES_KEPT = 10_000
INBOX_KEPT = 10_000
_ATTEMPTS = 20
_log = Log("feedback")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an entry; ``changed`` is False where the same or a later word of this person was known."""

    record: FeedbackRecord
    changed: bool


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be erased: all that is said here must hold. ``before_s`` is unix time, s; 0 means at any time."""

    subject: str = ""
    camera: str = ""
    before_s: float = 0.0
    by: str = ""

    def covers(self, subject: str, camera: str, at_s: float) -> bool:
        """Say whether something of this subject and camera, given at this time, is meant."""
        if not (self.subject or self.camera or self.before_s):
            return False
        named = (not self.subject or subject == self.subject) and (not self.camera or camera == self.camera)
        return named and (not self.before_s or at_s < self.before_s)


class FeedbackDesk:
    """Takes, gives and erases people's verdicts. Several may be at work at once, in any process."""

    def __init__(self, client: Client, keys: Keys, shown: Callable[[PictureRef], bool] | None = None) -> None:
        """Use a command client; ``shown`` says whether a face picture is still there, where that can be asked."""
        self._client, self._keys, self._shown = client, keys, shown
        self._search = EventSearch(client, keys)
        self._store = VerdictStore(client, keys)
        self._plans = PlanStore(client, keys.prefix)
        self._inbox = SiteInbox(client, keys)

    def record(self, entry: FeedbackEntry) -> Recorded:
        """Take a verdict in.

        Raises:
            FeedbackRefusedError: It is not taken; the message says why. It was counted, and nothing else was changed.
            BrokerUnavailableError: It may have been taken; to hand it in again with the same time is harmless.
        """
        try:
            said = check_entry(entry, broker_now_ms(self._client) / 1000)
            start = self._about(entry)
            partition = self._keys.partition_of(start.camera.id)
            done = self._written(partition, start, said)
        except FeedbackRefusedError as error:
            self.count_refusal(error.reason)
            raise
        self.post_news(partition)
        return done

    def post_news(self, partition: int) -> int:
        """Post the news of a partition that are still waiting, as after a kill; says how many there were."""
        waiting = self._store.pending(partition)
        for news in waiting:
            self._inbox.post(news)
        self._store.posted(partition, [news.id for news in waiting])
        return len(waiting)

    def records(self, since_ms: int = 0) -> list[StoredRecord]:
        """Give what was said, changed at or after a time by the broker's clock (ms), the oldest change first."""
        return self._store.changed(since_ms)

    def count_refusal(self, reason: str) -> None:
        """Count an entry that was not taken; `record` does so by itself."""
        call(self._client, "HINCRBY", self._keys.site("feedback:refused"), reason, 1)

    def refusals(self) -> dict[str, int]:
        """Say how many entries were not taken, by reason."""
        found = call(self._client, "HGETALL", self._keys.site("feedback:refused"))
        return {reason.decode(): int(count) for reason, count in sorted(found.items())}

    def prune(self) -> int:
        """Remove what has not changed for 90 days; says how many records that were."""
        return self._store.prune()

    def erase(self, wanted: Erasure) -> list[FeedbackRecord]:
        """Remove records, and leave the order for those who keep samples made of them; gives what was removed.

        The order is left before and again after: in between, a collector may have seen a record that was to go.
        """
        self._order(wanted)
        meant = [
            stored.record
            for stored in self._store.changed()
            if wanted.covers(stored.record.subject, stored.record.camera.id, stored.record.last_at)
        ]
        by_partition: dict[int, list[str]] = {}
        for record in meant:
            by_partition.setdefault(self._keys.partition_of(record.camera.id), []).append(record.subject)
        for partition, subjects in by_partition.items():
            self._store.forget(partition, subjects)
        self._order(wanted)
        _log.info("feedback_erased", records=len(meant), camera=wanted.camera, by=wanted.by)
        return meant

    def erasures(self, after: str = "0-0") -> list[tuple[str, Erasure]]:
        """Give the orders to erase that came after an entry id, each with its own; for those who keep samples."""
        raw = call(self._client, "XRANGE", self._keys.site("feedback:erasures"), f"({after}", "+", "COUNT", 1000)
        return [(entry_id, _erasure(fields)) for entry_id, fields in _listed(raw) if fields]

    def busy(self) -> list[int]:
        """Name the partitions in which something of other tools, or news, is waiting."""
        return self._store.busy()

    def handed_in(self, partition: int, count: int = 100) -> Entries:
        """Give what other tools have written to the partition's feedback stream and nobody has taken yet."""
        return _listed(call(self._client, "XRANGE", self._keys.feedback(partition), "-", "+", "COUNT", count))

    def settle(self, partition: int, entry_ids: Iterable[str]) -> None:
        """Remove entries of that stream, after they were taken or refused; and bound it against floods."""
        ids = list(entry_ids)
        if ids:
            call(self._client, "XDEL", self._keys.feedback(partition), *ids)
        call(self._client, "XTRIM", self._keys.feedback(partition), "MAXLEN", "~", INBOX_KEPT)

    def _order(self, wanted: Erasure) -> None:
        pairs = [str(part) for pair in asdict(wanted).items() for part in pair]
        call(self._client, "XADD", self._keys.site("feedback:erasures"), "MAXLEN", "~", ERASURES_KEPT, "*", *pairs)

    def _about(self, entry: FeedbackEntry) -> FeedbackRecord:
        plan = self._plan()
        if plan is not None and plan.privacy.mode == "statistics":
            raise FeedbackRefusedError("privacy", "privacy.mode 'statistics' keeps nothing of single persons")
        if entry.about.startswith(PICTURE_SCHEME):
            return self._of_picture(entry.about, plan)
        wanted = check_event_id(entry.about)
        try:
            return record_of(self._search.find(wanted, entry.camera))
        except FeedbackRefusedError as error:
            if error.reason != "unknown_event" or not entry.camera or plan is None or plan.camera(entry.camera):
                raise
            hint = nearest(entry.camera, [camera.id for camera in plan.cameras])
            raise FeedbackRefusedError("camera", f"there is no camera '{entry.camera}' in the plan{hint}") from error

    def _of_picture(self, uri: str, plan: SitePlan | None) -> FeedbackRecord:
        try:
            ref = PictureRef.of_uri(uri)
        except ValueError as error:
            raise FeedbackRefusedError(
                "picture", f"{error}; `maskwatch feedback queue` lists those there are"
            ) from error
        camera = plan.camera(ref.camera) if plan else None
        if plan is None or camera is None or not plan.pictures_of(ref.camera).crops:
            raise FeedbackRefusedError("picture", f"camera '{ref.camera}' has no policy that lets face crops be kept")
        if ref.kind != "crop" or (self._shown is not None and not self._shown(ref)):
            raise FeedbackRefusedError("picture", f"there is no such face crop (any more): {uri}")
        origin = "random" if drawn(ref, plan.pictures_of(ref.camera).crop_share) else "uncertain"
        about = CameraInfo(id=camera.id, name=camera.name or camera.id, site=plan.site, place=camera.place)
        return FeedbackRecord(subject=uri, picture=uri, origin=origin, camera=about)

    def _plan(self) -> SitePlan | None:
        stored = self._plans.load()
        try:
            return read_plan(stored[1], "published plan") if stored else None
        except SitePlanError:
            return None

    def _written(self, partition: int, start: FeedbackRecord, said: GivenLabel) -> Recorded:
        for _ in range(_ATTEMPTS):
            held, raw = self._store.load(partition, start.subject)
            before = held or start
            after = before.heard(said)
            if after is before:
                return Recorded(before, False)
            if self._store.store(partition, after, raw, _news(after, said, before.given)):
                return Recorded(after, True)
        raise FeedbackRefusedError("busy", f"{start.subject} is being judged by many at this moment; try again")


def _news(record: FeedbackRecord, said: GivenLabel, before: tuple[GivenLabel, ...]) -> SiteNews:
    data = record.told(said, before)
    return SiteNews(
        kind=FEEDBACK_TYPE,
        id=episode_event_id(record.subject, f"feedback|{said.by}|{said.label}", round(1000 * said.at)),
        subject=record.subject,
        source=f"/sites/{record.camera.site}/feedback",
        at_s=said.at,
        data=json.loads(data.model_dump_json()),
        camera=record.camera.id,
    )


def _listed(raw: object) -> Entries:
    pairs = raw if isinstance(raw, list) else []
    return entries_of(
        [(entry_id, dict(zip(f[::2], f[1::2], strict=True)) if isinstance(f, list) else f) for entry_id, f in pairs]
    )


def _erasure(fields: Mapping[bytes, bytes]) -> Erasure:
    text = {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}
    return Erasure(
        text.get("subject", ""), text.get("camera", ""), float(text.get("before_s", "0")), text.get("by", "")
    )
