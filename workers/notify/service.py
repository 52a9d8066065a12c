"""The notify role as a process: a courier for each receiver, health and the end around them."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from common.health import HealthServer
from common.lifecycle import Deadline, StopSignal
from common.log import Log
from common.metrics import process_registry
from common.settings import ServiceSettings
from common.subscriber import Subscriber
from workers.notify.courier import Courier, Errand
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

    Run one per installation: two would deliver everything twice. A broker that does not answer is waited for.

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
    couriers = [_courier(receiver, connection, notify, metrics, stop) for receiver in load_receivers(notify.receivers)]
    with ExitStack() as stack:
        if connection.metrics_port is not None:
            address = (connection.metrics_host, connection.metrics_port)
            server = HealthServer(registry, address, alive=lambda: _alive(couriers), ready=lambda: _ready(couriers))
            _log.info("metrics_served", host=connection.metrics_host, port=stack.enter_context(server).port)
        return _serve(couriers, stop, connection.grace_s)


def _serve(couriers: list[Courier], stop: StopSignal, grace_s: float) -> int:
    threads = [
        threading.Thread(target=one.run, args=(stop, grace_s * _CUT_AFTER / 2), name=one.name, daemon=True)
        for one in couriers
    ]
    for thread in threads:
        thread.start()
    broken = False
    while not stop.wait(_WATCH_S):
        if not all(thread.is_alive() for thread in threads) and not stop.is_set():
            broken = True
            _log.error("worker_broke", receivers=[thread.name for thread in threads if not thread.is_alive()])
            stop.set("a worker broke")
    deadline, cut = Deadline.after(grace_s), Deadline.after(grace_s * _CUT_AFTER)
    for thread in threads:
        thread.join(cut.left_s())
    for courier, thread in zip(couriers, threads, strict=True):
        if thread.is_alive():
            courier.sender.cancel()
    for thread in threads:
        thread.join(deadline.left_s())
    _log.info("stopped", reason=stop.reason)
    return 1 if broken else 0


def _courier(
    receiver: Receiver, connection: ServiceSettings, notify: NotifySettings, metrics: NotifyMetrics, stop: StopSignal
) -> Courier:
    sender = _sender(receiver)
    _log.info("receiver", receiver=receiver.name, way="mqtt" if receiver.mqtt else "webhook", place=sender.place)
    if receiver.webhook and isinstance(sender, WebhookSender) and not sender.secure:
        _log.warning("plain_http", receiver=receiver.name, advice="events are signed but readable on the way")
    subscription = receiver.subscription()
    for gauge in (metrics.pending, metrics.oldest, metrics.lag, metrics.disabled):
        gauge.labels(receiver.name).set(0)
    return Courier(
        Errand(receiver, sender, notify, metrics, lambda: Subscriber.open(connection, subscription, stop=stop))
    )


def _sender(receiver: Receiver) -> WebhookSender | MqttSender:
    if receiver.webhook is not None:
        return open_webhook(receiver.webhook, f"receivers.{receiver.name}.webhook")
    assert receiver.mqtt is not None  # noqa: S101 - the model has checked that there is one of the two
    return MqttSender(receiver.mqtt, receiver.name)


def _alive(couriers: list[Courier]) -> str:
    now = time.monotonic()
    hung = [courier.name for courier in couriers if now - courier.beat_s > _HUNG_S]
    return f"no turn for two minutes: {', '.join(hung)}" if hung else ""


def _ready(couriers: list[Courier]) -> str:
    return next((f"{courier.name}: {courier.trouble}" for courier in couriers if courier.trouble), "")
