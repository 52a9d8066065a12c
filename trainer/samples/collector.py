"""Makes samples of what people have said: fetches the crops from the frames broker while they are there.

collector = Collector(desk, pictures.get, store, has_face)
collector.turn(now=time.time(), allowed=lambda camera: plan.pictures_of(camera).crops)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from common.broker.feedback import Erasure, FeedbackDesk
from common.broker.verdicts import StoredRecord
from common.errors import SampleRefusedError
from common.feedback import FeedbackRecord
from common.images import Picture
from common.log import Log
from common.pictures import PictureRef
from trainer.files import replace_file
from trainer.samples.cropcheck import check_crop
from trainer.samples.rows import Sample, SampleLabel
from trainer.samples.store import SampleStore

PROGRESS = "collected.json"
OVERLAP_MS = 60_000
"""How far back each turn looks again, so that what was stored by a clock set back is not missed."""
_BEGINNING = "0-0"
_log = Log("collector")


@dataclass(slots=True)
class Turn:
    """What one turn has done.

    Attributes:
        added: New samples, or new pictures of known ones.
        relabelled: Samples whose label changed.
        erased: Samples that were erased on demand.
        expired: Samples that the retention rule removed.
        left_out: Why verdicts made no sample: ``no_consent``, ``no_picture`` (gone, or never kept), ``contested``, or a
            reason of `SampleRefusedError`.
    """

    added: int = 0
    relabelled: int = 0
    erased: int = 0
    expired: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class Collector:
    """Keeps a sample folder in step with the verdicts on the broker; for one thread."""

    def __init__(
        self,
        desk: FeedbackDesk,
        fetch: Callable[[PictureRef], bytes | None],
        store: SampleStore,
        has_face: Callable[[Picture], bool],
    ) -> None:
        """Take where verdicts are, how a crop is fetched, where samples go, and what says whether a crop has a face."""
        self._desk, self._fetch, self._store, self._has_face = desk, fetch, store, has_face
        self._seen: dict[str, int] = {}

    def turn(self, now: float, allowed: Callable[[str], bool]) -> Turn:
        """Take in what was said since the last turn, carry out orders to erase, apply the retention rule.

        A kill in between repeats the turn, which changes nothing more.

        Args:
            now: Unix time, s.
            allowed: Says whether a camera's policy consents to keeping crops; asked each time.

        Raises:
            BrokerError: Verdicts or crops cannot be read; what was taken in so far stays.
            TrainingError: The folder cannot be written.
        """
        done = Turn()
        since_ms, erased_to = self._progress()
        latest_ms = since_ms
        held = {one.subject for one in self._store.samples()}
        for stored in self._desk.records(max(0, since_ms - OVERLAP_MS)):
            latest_ms = max(latest_ms, stored.changed_ms)
            if self._seen.get(stored.record.subject) != stored.changed_ms:
                if stored.record.subject in held:
                    done.relabelled += self._store.relabel(label_of(stored))
                else:
                    self._take(stored, done, allowed)
                self._seen[stored.record.subject] = stored.changed_ms
        self._seen = {subject: at for subject, at in self._seen.items() if at >= latest_ms - OVERLAP_MS}
        for entry_id, order in self._desk.erasures(erased_to):  # after the verdicts: see `FeedbackDesk.erase`
            done.erased += self._erase(entry_id, order)
            erased_to = entry_id
        done.expired = self._store.retain(now)
        if (latest_ms, erased_to) != (since_ms, self._progress()[1]):
            replace_file(self._store.folder / PROGRESS, json.dumps([latest_ms, erased_to]).encode())
        return done

    def _take(self, stored: StoredRecord, done: Turn, allowed: Callable[[str], bool]) -> None:
        record = stored.record
        said = label_of(stored)
        if said.contested:
            done.left_out["contested"] += 1
        if not allowed(record.camera.id):
            done.left_out["no_consent"] += 1
            return
        jpeg = self._crop_of(record)
        if jpeg is None:
            done.left_out["no_picture"] += 1
            return
        try:
            crop = check_crop(jpeg, said.label, self._store.rules, self._has_face)
        except SampleRefusedError as error:
            done.left_out[error.reason] += 1
            _log.warning("crop_refused", camera=record.camera.id, reason=error.reason, subject=record.subject)
            return
        done.added += self._store.put(said, crop)

    def _crop_of(self, record: FeedbackRecord) -> bytes | None:
        try:
            return self._fetch(PictureRef.of_uri(record.picture)) if record.picture else None
        except ValueError:  # a record that something else has written
            return None

    def _erase(self, entry_id: str, order: Erasure) -> int:
        order_ms = int(entry_id.partition("-")[0])
        count = self._store.erase(lambda one: one.taken_ms <= order_ms and covered(one, order))
        if count:
            _log.info("samples_erased", count=count, camera=order.camera, by=order.by)
        return count

    def _progress(self) -> tuple[int, str]:
        try:
            since_ms, erased_to = json.loads((self._store.folder / PROGRESS).read_bytes())
            return int(since_ms), str(erased_to)
        except (OSError, ValueError, TypeError):
            return 0, _BEGINNING


def covered(one: Sample, order: Erasure) -> bool:
    """Say whether an order to erase means a sample."""
    return order.covers(one.subject, one.camera, one.at)


def label_of(stored: StoredRecord) -> SampleLabel:
    """Say what a record comes to as a label; where those who spoke contradict one another, there is none yet."""
    record: FeedbackRecord = stored.record
    contested = record.state == "contested"
    last = record.deciding[-1]
    return SampleLabel(
        subject=record.subject,
        label=None if contested else record.outcome,
        contested=contested,
        camera=record.camera.id,
        ref=record.picture or "",
        origin=record.origin,
        verdict=record.verdict,
        by=last.by,
        at=last.at,
        taken_ms=stored.changed_ms,
    )
