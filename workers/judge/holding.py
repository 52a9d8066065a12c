"""Takes, keeps and gives back partitions, so that every partition has a judge and the judges share evenly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.broker.ownership import PartitionStore
from common.errors import BrokerError, BrokerUnavailableError
from common.log import Log
from common.tracing import OFF, Tracing
from workers.judge.desk import Contexts, Desk
from workers.judge.seats import Seat, fair_share
from workers.judge.ways import Ways

_log = Log("judge")
_BALANCE_S = 1.0


class Holding:
    """The partitions of one judge.

    Where a node of a cluster does not answer while others do, its partitions are dropped and tried once a second.

    Attributes:
        desks: What is held.
        unreached: Partitions that could not be asked for, and why.

    Args:
        store: Leases and states of partitions.
        seat: This judge's seat among the judges.
        me: This judge's name, as ``store`` knows it.
        partitions: Partition count.
        renew_s: How often leases are renewed.
    """

    def __init__(self, store: PartitionStore, seat: Seat, me: str, partitions: int, renew_s: float) -> None:
        self.desks: dict[int, Desk] = {}
        self.unreached: dict[int, BrokerUnavailableError] = {}
        self._store = store
        self._seat = seat
        self._me = me
        self._partitions = partitions
        self._renew_s = renew_s
        self._renewed_s = 0.0
        self._balanced_s = float("-inf")

    def keep(self, now_s: float, contexts: Contexts, tracing: Tracing = OFF) -> None:
        """Renew what is held, and now and then take or give back partitions.

        Call it between two batches, when nothing is uncommitted.

        Args:
            now_s: Monotonic time, s.
            contexts: For the cameras of partitions that are taken.
            tracing: For their judged frames.

        Raises:
            BrokerError: The broker does not answer, no node of it; call `drop_all` before going on.
        """
        self.renew(now_s)
        if now_s - self._balanced_s < _BALANCE_S:
            return
        self._balanced_s = now_s
        wanted = fair_share(self._seat.keep(), self._me, self._partitions)
        for number in sorted(self.desks)[wanted:]:
            self.give_back(number)
        self.unreached = {}
        self._take(wanted, contexts, tracing)

    def renew(self, now_s: float) -> None:
        """Renew the leases where it is time; a partition that another has taken is dropped."""
        if now_s - self._renewed_s < self._renew_s:
            return
        self._renewed_s = now_s
        for number, desk in list(self.desks.items()):
            with self.reaching(number):
                if not self._store.renew(desk.lease):
                    self.drop(number, "taken by another judge")

    @contextmanager
    def reaching(self, number: int) -> Iterator[None]:
        """Do something with a partition; it alone is dropped where its node does not answer while others do."""
        try:
            yield
        except BrokerUnavailableError as error:
            if not error.node:
                raise
            self.unreached[number] = error
            self.drop(number, f"its node does not answer ({error.code})")

    def drop(self, number: int, why: str) -> None:
        """Forget a partition with everything uncommitted; it is loaded anew when it is taken again."""
        if self.desks.pop(number, None) is not None:
            _log.warning("partition_dropped", partition=number, why=why)
            self._balanced_s = float("-inf")

    def drop_all(self, why: str) -> None:
        """Forget every partition; what the broker holds is what counts."""
        for number in list(self.desks):
            self.drop(number, why)
        self._balanced_s = float("-inf")

    def give_back(self, number: int) -> None:
        """Release a partition for another judge."""
        lease = self.desks.pop(number).lease
        with self.reaching(number):
            self._store.release(lease)
            _log.info("partition_released", partition=number)

    def leave(self) -> None:
        """Release everything in order; a broker that does not answer lets the leases run out."""
        try:
            for number in list(self.desks):
                self.give_back(number)
            self._seat.leave()
        except BrokerError as error:
            _log.warning("release_failed", error=str(error))

    def _take(self, wanted: int, contexts: Contexts, tracing: Tracing) -> None:
        if len(self.desks) >= wanted:
            return
        held = self._store.owners()
        mine = {number for number, holder in held.items() if holder.owner == self._me and number not in self.desks}
        for number in range(self._partitions):
            if number in self.desks or (number in held and number not in mine):
                continue
            with self.reaching(number):
                lease = self._store.acquire(number)
                if lease is not None:
                    stored = self._store.load(number)
                    self.desks[number] = Desk(lease, self._partitions, stored, contexts, Ways(tracing))
                    _log.info("partition_taken", partition=number, epoch=lease.epoch)
            if len(self.desks) >= wanted:
                return
