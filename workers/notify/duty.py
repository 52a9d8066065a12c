"""Which notifier of an installation delivers: the one that holds the lease; any other stands by to take over."""

from __future__ import annotations

import os
import secrets
import time

from common.broker.client import Client, connect
from common.broker.ownership import Lease, PartitionStore
from common.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from common.lifecycle import StopSignal
from common.log import Log, OncePer
from common.partition import Keys
from common.settings import ServiceSettings, host_name
from workers.notify.metrics import NotifyMetrics

_log = Log("notify")
_TRY_EVERY_S = 1.0


class Duty:
    """The right to deliver; for the thread that runs the service.

    It only spares receivers repeats: two that both believe to be on duty, for as long as a lease lasts, deliver some
    events twice under the same ids, and lose none.

    Attributes:
        beat_s: Monotonic time of the last attempt to take it, for liveness while standing by.
        trouble: Why it cannot be taken; empty where another has it.
    """

    def __init__(self, connection: ServiceSettings, lease_s: float, metrics: NotifyMetrics) -> None:
        self.beat_s = time.monotonic()
        self.trouble = "the state broker has not answered yet"
        self._connection = connection
        self._lease_s = lease_s
        self._metrics = metrics
        self._me = f"{host_name()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._client: Client | None = None
        self._store: PartitionStore | None = None
        self._lease: Lease | None = None
        self._renewed_s = 0.0
        self._once = OncePer(30.0)

    def take(self, stop: StopSignal) -> bool:
        """Wait for the lease; False where the end was asked for first."""
        while not stop.is_set():
            self.beat_s = time.monotonic()
            try:
                self._lease = self._opened().acquire(0)
                self.trouble = ""
            except (BrokerUnavailableError, BrokerRefusedError) as error:
                self.trouble = f"the state broker does not do as asked ({error.code})"
                self._metrics.broker.errors.labels("state", error.code).inc()
                if self._once.permit(error.code) is not None:
                    _log.warning("waiting_for_broker", code=error.code, cause=str(error))
            if self._lease is not None:
                self._renewed_s = time.monotonic()
                self._metrics.on_duty.set(1)
                return True
            if not self.trouble and self._once.permit("standing_by") is not None:
                _log.info("standing_by", advice="another notifier of this installation delivers")
            stop.wait(_TRY_EVERY_S)
        return False

    def keep(self, now_s: float) -> bool:
        """Renew the lease where it is time; False where another has taken it since.

        A broker that does not answer is no reason to end: nobody else can take the lease from it either.

        Args:
            now_s: Monotonic time, s.
        """
        if self._lease is None or now_s - self._renewed_s < self._lease_s / 3:
            return self._lease is not None
        self._renewed_s = now_s
        try:
            if not self._opened().renew(self._lease):
                self._lose()
        except BrokerError as error:
            self._metrics.broker.errors.labels("state", error.code).inc()
        return self._lease is not None

    def give_back(self) -> None:
        """Let another take over at once, and hang up."""
        lease = self._lease
        self._lose()
        if self._client is None:
            return
        try:
            if lease is not None:
                self._opened().release(lease)
        except BrokerError as error:
            _log.warning("lease_runs_out", code=error.code)
        self._client.close()

    def _lose(self) -> None:
        self._lease = None
        self._metrics.on_duty.set(0)

    def _opened(self) -> PartitionStore:
        if self._store is None:
            secret = self._connection.state_password
            self._client = connect(self._connection.state_url, password=secret.get_secret_value() if secret else None)
            keys = Keys(f"{self._connection.prefix}:notify", 1)
            self._store = PartitionStore(self._client, self._client, keys, self._me, self._lease_s)
        return self._store
