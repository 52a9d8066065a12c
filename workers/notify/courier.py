"""The worker of one receiver: reads the log at the receiver's own pace and delivers until it is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.lifecycle import Deadline, StopSignal
from common.log import Log, OncePer
from common.spans import Span, Told
from common.subscriber import Gap, Item, Subscriber
from common.trace import read_trace
from common.tracing import OFF, Tracing
from workers.notify.lanes import Delivery, Lanes
from workers.notify.metrics import NotifyMetrics
from workers.notify.outcome import Outcome, Sender
from workers.notify.receivers import Receiver
from workers.notify.settings import NotifySettings

READ_WAIT_S = 0.5
READ_EVERY_S = 0.2
RETRY_BROKER_S = 1.0
_log = Log("notify")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a courier needs: whom it serves, by which way, how patiently, how to reach the event log, whom to tell."""

    receiver: Receiver
    sender: Sender
    settings: NotifySettings
    metrics: NotifyMetrics
    open_log: Callable[[], Subscriber]
    tracing: Tracing = OFF


class Courier:
    """Serves one receiver in a thread of its own, so that a slow one delays no other.

    Attributes:
        beat_s: Monotonic time of the last turn.
        trouble: Why it cannot work now; empty while it can.
    """

    def __init__(self, errand: Errand) -> None:
        self.name = errand.receiver.name
        self.sender = errand.sender
        self._errand = errand
        self._lanes = Lanes(errand.settings.schedule(errand.receiver.retry_for_s))
        self._once = OncePer(10.0)
        self._failing = False
        self._gone = False
        self._read_at = self._saved_at = 0.0
        self._saved: dict[int, str] = {}
        self.beat_s = time.monotonic()
        self.trouble = "the state broker has not answered yet"

    def run(self, stop: StopSignal, grace_s: float) -> None:
        """Deliver until ``stop``, then for ``grace_s`` s more what can be delivered at once; store the place."""
        subscriber = self._opened(stop)
        if subscriber is None:
            return
        with subscriber:
            while not stop.is_set() and not self._gone:
                self._turn(subscriber, stop)
            while self._gone and not stop.wait(READ_WAIT_S):
                self.beat_s = time.monotonic()
            self._drain(subscriber, Deadline.after(grace_s))
        self.sender.close()

    def _opened(self, stop: StopSignal) -> Subscriber | None:
        while not stop.is_set():
            self.beat_s = time.monotonic()
            try:
                subscriber = self._errand.open_log()
            except (BrokerUnavailableError, BrokerRefusedError) as error:
                self._complain("waiting_for_broker", error.code)
                self._errand.metrics.broker.errors.labels("state", error.code).inc()
                stop.wait(RETRY_BROKER_S)
                continue
            self.trouble = ""
            return subscriber
        return None

    def _turn(self, subscriber: Subscriber, stop: StopSignal) -> None:
        self.beat_s = now = time.monotonic()
        wait_s = self._lanes.wait_s(now)
        if self._lanes.pending >= self._errand.settings.pending:
            stop.wait(min(wait_s, READ_WAIT_S))
        elif wait_s > 0 or now - self._read_at >= READ_EVERY_S:
            self._read(subscriber, min(wait_s, READ_WAIT_S))
        delivery = None if stop.is_set() else self._lanes.due(time.monotonic())
        if delivery is not None:
            self._attempt(delivery)
        self._save(subscriber)
        self._show(subscriber)

    def _read(self, subscriber: Subscriber, wait_s: float) -> None:
        try:
            while self._lanes.pending < self._errand.settings.pending:
                item = subscriber.receive(wait_s)
                if item is None:
                    break
                wait_s = 0.0
                self._accept(item, subscriber)
        except BrokerRefusedError as error:
            self._complain("refused_by_broker", error.code)
        self._read_at = time.monotonic()

    def _accept(self, item: Item, subscriber: Subscriber) -> None:
        if isinstance(item, Gap):
            self._errand.metrics.gaps.labels(self.name).inc()
            _log.error(
                "events_missed",
                receiver=self.name,
                partition=item.partition,
                after=item.after,
                until=item.until,
                reason=item.reason,
            )
        elif self._errand.receiver.wants(item):
            self._lanes.add(item, subscriber.cursors[item.partition], time.monotonic())

    def _attempt(self, delivery: Delivery) -> bool:
        event, metrics = delivery.event, self._errand.metrics
        began = time.monotonic()
        try:
            outcome = self.sender.send(event, time.time())
        except Exception as error:  # noqa: BLE001 - one event must not end the deliveries of all
            outcome = Outcome.FAULT
            self._complain("fault", type(error).__name__)
        metrics.attempt.labels(self.name).observe(time.monotonic() - began)
        outcome = self._lanes.record(delivery, outcome, time.monotonic())
        metrics.deliveries.labels(self.name, outcome.value).inc()
        if self._errand.tracing.exports:
            self._trace(delivery, outcome, time.monotonic() - began)
        self._tell(delivery, outcome)
        return outcome is Outcome.DELIVERED

    def _trace(self, delivery: Delivery, outcome: Outcome, took_s: float) -> None:
        logged = read_trace(delivery.event.body.get("traceparent"))
        if logged is None or not logged.sampled:
            return
        now, failed = time.time(), outcome is not Outcome.DELIVERED
        facts: dict[str, Told] = {"maskwatch.event.id": delivery.event.id, "maskwatch.receiver": self.name}
        facts |= {"maskwatch.outcome": outcome.value, "maskwatch.attempt": delivery.failures + (not failed)}
        span = Span("event delivered", "client", logged.next(), logged.span_id, now - took_s, now, facts, failed)
        self._errand.tracing.tell(span)

    def _tell(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome is Outcome.DELIVERED:
            if self._failing:
                _log.info("receiver_is_back", receiver=self.name, pending=self._lanes.pending)
            self._failing = False
            return
        self._failing = True
        if outcome is Outcome.GONE:
            self._gone = True
            self._errand.metrics.disabled.labels(self.name).set(1)
            _log.error("receiver_gone", receiver=self.name, pending=self._lanes.pending, advice="restart to try again")
        elif outcome is Outcome.EXPIRED:
            _log.error("event_given_up", receiver=self.name, id=delivery.event.id, attempts=delivery.failures)
        else:
            self._complain("delivery_failed", outcome.value)

    def _save(self, subscriber: Subscriber, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._saved_at < self._errand.settings.save_every_s:
            return
        self._saved_at = time.monotonic()
        cursors = self._lanes.cursors(subscriber.cursors)
        moved = {number: cursor for number, cursor in cursors.items() if self._saved.get(number) != cursor}
        try:
            subscriber.remember(moved)
        except BrokerError as error:
            self.trouble = "the state broker does not take the place of this receiver"
            self._complain("place_not_stored", error.code)
            return
        self.trouble = ""
        self._saved |= moved

    def _show(self, subscriber: Subscriber) -> None:
        metrics, oldest_ms = self._errand.metrics, self._lanes.oldest_ms()
        metrics.pending.labels(self.name).set(self._lanes.pending)
        metrics.oldest.labels(self.name).set(0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000))
        metrics.lag.labels(self.name).set(subscriber.lag_s(time.time()))

    def _drain(self, subscriber: Subscriber, deadline: Deadline) -> None:
        while not self._gone and not deadline.spent():
            delivery = self._lanes.due(time.monotonic())
            if delivery is None or not self._attempt(delivery):
                break
        self._save(subscriber, at_once=True)
        _log.info("receiver_left", receiver=self.name, pending=self._lanes.pending)

    def _complain(self, what: str, code: str) -> None:
        held = self._once.permit(what + code)
        if held is not None:
            _log.warning(what, receiver=self.name, code=code, held_back=held)
