"""One turn of work on feedback: take in what other tools wrote, post what waits, keep the figures, forget the old.

Any number of processes may do it at once; what is done twice changes nothing. Who holds the site's lease should, so
that the figures are told once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from common.broker.client import Client
from common.broker.feedback import FeedbackDesk
from common.broker.reading import Fields, order_of
from common.broker.results import DeadLetters
from common.errors import BrokerError, FeedbackRefusedError
from common.events import timestamp
from common.feedback import FeedbackEntry
from common.log import Log, OncePer
from common.metrics import CollectorRegistry
from common.partition import Keys
from workers.feedback.precision import AlarmPrecision

PRUNE_EVERY_S = 3600.0
OVERLAP_MS = 5_000
LONGEST_FIELD_BYTES = 256
UNREADABLE = "fields"
_FIELDS = ("event", "label", "by", "at", "camera", "final")
_log = Log("feedback")


class FeedbackStage:
    """Does a turn whenever it is asked to, about once a second; for one thread."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
        planned: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Use a command client of the state endpoint; ``clock`` gives monotonic seconds, ``planned`` who is shown."""
        self._desk = FeedbackDesk(client, keys)
        self._letters = DeadLetters(client, keys)
        self._clock = clock
        self.precision = AlarmPrecision(registry, planned=planned)
        self._lines = OncePer()
        self._since_ms, self._erased, self._prune_at = -1, "", 0.0

    def turn(self) -> int:
        """Do what there is to do; says how many entries of other tools were looked at.

        Raises:
            BrokerError: The broker does not answer; to turn again later is all that is needed.
        """
        looked = sum(self._take_in(number) for number in self._desk.busy())
        self._follow()
        self.precision.tidy()
        if self._clock() >= self._prune_at:
            self._prune_at = self._clock() + PRUNE_EVERY_S
            self._desk.prune()
        return looked

    def rest(self) -> None:
        """Let go of the figures, which another process tells now; the next turn reads them anew."""
        if self._since_ms >= 0:
            self.precision.forget()
            self._since_ms = -1

    def _take_in(self, partition: int) -> int:
        self._desk.post_news(partition)
        entries = self._desk.handed_in(partition)
        for entry_id, fields in entries:
            try:
                self._desk.record(entry_of(entry_id, fields or {}))
            except FeedbackRefusedError as error:
                self._refuse(partition, (entry_id, fields or {}), error)
            except BrokerError:
                raise
            except Exception as error:  # noqa: BLE001 - one entry nobody thought of must not keep the others waiting
                self._refuse(partition, (entry_id, fields or {}), FeedbackRefusedError("defect", repr(error)))
            self._desk.settle(partition, [entry_id])
        return len(entries)

    def _refuse(self, partition: int, entry: tuple[str, Fields], error: FeedbackRefusedError) -> None:
        self.precision.refused.labels(error.reason).inc()
        if error.reason in (UNREADABLE, "defect"):  # all others the desk has counted
            self._desk.count_refusal(error.reason)
        entry_id, fields = entry
        about = hashlib.sha256(fields.get(b"event", b"")).hexdigest()
        note = {"reason": f"feedback_{error.reason}", "entry": entry_id, "sha256": about, "error": str(error)[:200]}
        self._letters.add(partition, note)
        held = self._lines.permit(error.reason)
        if held is not None:
            _log.warning("feedback_refused", reason=error.reason, partition=partition, entry=entry_id, more=held)

    def _follow(self) -> None:
        orders = self._desk.erasures(self._erased or "0-0")
        first = self._since_ms < 0
        if orders and not first:
            self.precision.forget()
        fresh = first or bool(orders)
        self._erased = orders[-1][0] if orders else self._erased
        for stored in self._desk.records(0 if fresh else max(0, self._since_ms - OVERLAP_MS)):
            self.precision.take(stored.record, news=not first)
            self._since_ms = max(self._since_ms, stored.changed_ms)
        self._since_ms = max(0, self._since_ms)


def entry_of(entry_id: str, fields: Fields) -> FeedbackEntry:
    """Read what another tool wrote; without a time of its own it was said when the broker took it.

    Raises:
        FeedbackRefusedError: A field is missing or too long.
    """
    unknown = sorted(set(_FIELDS[:3]) - {name.decode("utf-8", "replace") for name in fields})
    if unknown:
        raise FeedbackRefusedError(UNREADABLE, f"field {unknown[0]!r} is missing; needed are event, label and by")
    if any(len(value) > LONGEST_FIELD_BYTES for value in fields.values()):
        raise FeedbackRefusedError(UNREADABLE, f"a field is longer than {LONGEST_FIELD_BYTES} bytes")
    text = {name: fields.get(name.encode(), b"").decode("utf-8", "replace") for name in _FIELDS}
    at = text["at"] or timestamp(order_of(entry_id)[0] / 1000)
    return FeedbackEntry(text["event"], text["label"], text["by"], at, text["camera"], final=text["final"] == "1")
