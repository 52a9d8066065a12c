"""The notify role as a process: a courier for each receiver, health and the end around them."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from common.health import HealthServer
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.metrics import process_registry
from common.settings import ServiceSettings
from common.subscriber import Subscriber
from common.tracing import Tracing, opened_tracing
from workers.notify.courier import Courier, Errand
from workers.notify.duty import Duty
from workers.notify.metrics import NotifyMetrics
from workers.notify.mqtt import MqttSender
from workers.notify.receivers import Receiver, load_receivers
from workers.notify.settings import NotifySettings
from workers.notify.webhook import WebhookSender, open_webhook

_log = Log("notify")
_HUNG_S = 120.0
_WATCH_S = 0.2
_CUT_AFTER = 0.75
"""Share of the grace period after which attempts under way are cut short; what they carried is tried again later."""


def run(connection: ServiceSettings, notify: NotifySettings, stop: StopSignal) -> int:
    """Deliver events until ``stop``, then what can be delivered at once within the grace period.

    Of several notifiers of an installation one delivers; the others stand by and take over within ``notify.lease_s``
    plus 1 s. A broker that does not answer is waited for.

    Args:
        connection: Brokers (only the state endpoint is used), key names, metrics port.
        notify: The receivers and how patient to be with them.
        stop: Asks for the end.

    Returns:
        0, the exit status of an orderly end; 1 where a receiver's worker broke, which must not be waited out.

    Raises:
        ConfigError: Settings, the file of receivers, a secret or the metrics port cannot be used; nothing was started.
    """
    registry = process_registry()
    metrics = NotifyMetrics(registry)
    receivers = load_receivers(notify.receivers)
    duty = Duty(connection, notify.lease_s, metrics)
    with ExitStack() as stack:
        house = _House(
            connection, notify, metrics, stack.enter_context(opened_tracing("notify", connection, registry, stop))
        )
        shift = _Shift([house.courier(receiver, StopSignal()) for receiver in receivers])
        stack.callback(duty.give_back)
        if connection.metrics_port is not None:
            address = (connection.metrics_host, connection.metrics_port)
            server = HealthServer(
                registry, address, alive=lambda: _alive(duty, shift), ready=lambda: _ready(duty, shift)
            )
            _log.info("metrics_served", host=connection.metrics_host, port=stack.enter_context(server).port)
        while duty.take(stop):
            over = StopSignal()
            shift.couriers = [house.courier(receiver, over) for receiver in receivers]
            shift.working = True
            broken = _serve(shift.couriers, duty, (stop, over), connection.grace_s)
            shift.working = False
            if broken or stop.is_set():
                return int(broken)
    return 0


@dataclass(slots=True)
class _Shift:
    """The couriers, while this notifier is the one that delivers; made once before that, so that bad settings show."""

    couriers: list[Courier]
    working: bool = False


def _serve(couriers: list[Courier], duty: Duty, ends: tuple[StopSignal, StopSignal], grace_s: float) -> bool:
    """Run the couriers until the process is to end or the duty is lost; says whether one broke."""
    stop, over = ends
    threads = [
        threading.Thread(target=one.run, args=(over, grace_s * _CUT_AFTER / 2), name=one.name, daemon=True)
        for one in couriers
    ]
    for thread in threads:
        thread.start()
    broken = False
    while not broken and not stop.wait(_WATCH_S) and duty.keep(time.monotonic()):
        broken = not all(thread.is_alive() for thread in threads)
    if broken:
        _log.error("worker_broke", receivers=[thread.name for thread in threads if not thread.is_alive()])
    elif not stop.is_set():
        _log.warning("duty_lost", advice="another notifier delivers now; this one stands by")
    over.set("a worker broke" if broken else stop.reason)
    _end(list(zip(couriers, threads, strict=True)), grace_s)
    _log.info("stopped", reason=over.reason)
    return broken


def _end(working: list[tuple[Courier, threading.Thread]], grace_s: float) -> None:
    deadline, cut = Deadline.after(grace_s), Deadline.after(grace_s * _CUT_AFTER)
    for _, thread in working:
        thread.join(cut.left_s())
    for courier, thread in working:
        if thread.is_alive():
            courier.sender.cancel()
    for _, thread in working:
        thread.join(deadline.left_s())


@dataclass(frozen=True, slots=True)
class _House:
    """What all couriers share."""

    connection: ServiceSettings
    notify: NotifySettings
    metrics: NotifyMetrics
    tracing: Tracing

    def courier(self, receiver: Receiver, stop: StopSignal) -> Courier:
        sender = _sender(receiver)
        _log.info("receiver", receiver=receiver.name, way="mqtt" if receiver.mqtt else "webhook", place=sender.place)
        if receiver.webhook and isinstance(sender, WebhookSender) and not sender.secure:
            _log.warning("plain_http", receiver=receiver.name, advice="events are signed but readable on the way")
        metrics, subscription = self.metrics, receiver.subscription()
        for gauge in (metrics.pending, metrics.oldest, metrics.lag, metrics.disabled):
            gauge.labels(receiver.name).set(0)

        def open_log() -> Subscriber:
            return Subscriber.open(self.connection, subscription, stop=stop)

        return Courier(Errand(receiver, sender, self.notify, metrics, open_log, self.tracing))


def _sender(receiver: Receiver) -> WebhookSender | MqttSender:
    if receiver.webhook is not None:
        return open_webhook(receiver.webhook, f"receivers.{receiver.name}.webhook")
    assert receiver.mqtt is not None  # noqa: S101 - the model has checked that there is one of the two
    return MqttSender(receiver.mqtt, receiver.name)


def _alive(duty: Duty, shift: _Shift) -> str:
    now = time.monotonic()
    if not shift.working:
        return "no attempt to take over for two minutes" if now - duty.beat_s > _HUNG_S else ""
    hung = [courier.name for courier in shift.couriers if now - courier.beat_s > _HUNG_S]
    return f"no turn for two minutes: {', '.join(hung)}" if hung else ""


def _ready(duty: Duty, shift: _Shift) -> str:
    if not shift.working:
        return duty.trouble
    return next((f"{courier.name}: {courier.trouble}" for courier in shift.couriers if courier.trouble), "")
