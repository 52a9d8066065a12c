"""Which partitions a judge should hold: every living judge has a seat, and all with a seat share evenly.

A seat is a lease like that of a partition, under key names of its own, so a judge that dies loses its seat and its
partitions at the same time. Seats only balance; two judges that disagree cannot both commit.
"""

from __future__ import annotations

from common.broker.ownership import Lease, PartitionStore
from common.errors import BrokerUnavailableError
from common.partition import Keys

SEATS = 64


def seat_keys(keys: Keys) -> Keys:
    """Name the keys of the seats."""
    return Keys(f"{keys.prefix}:judges", SEATS)


def fair_share(judges: list[str], me: str, partitions: int) -> int:
    """Say how many partitions ``me`` should hold; the shares of all judges add up to all partitions."""
    everybody = sorted({*judges, me})
    each, rest = divmod(partitions, len(everybody))
    return each + (everybody.index(me) < rest)


class Seat:
    """This judge's seat.

    Args:
        store: A store over `seat_keys`.
        me: This judge's name, as the store knows it.
    """

    def __init__(self, store: PartitionStore, me: str) -> None:
        self._store = store
        self._me = me
        self._lease: Lease | None = None

    def keep(self) -> list[str]:
        """Keep or take a seat, and name all judges that have one.

        Raises:
            BrokerError: The broker does not answer; the seat may be lost and is taken again by the next call.
        """
        if self._lease is not None and not self._kept(self._lease):
            self._lease = None
        taken = self._store.owners()
        if self._lease is None:
            free = (number for number in range(SEATS) if number not in taken)
            self._lease = next((lease for number in free if (lease := self._acquired(number))), None)
        return [holder.owner for holder in taken.values()]

    def leave(self) -> None:
        """Give the seat back.

        Raises:
            BrokerError: The broker does not answer; the seat runs out by itself.
        """
        if self._lease is not None:
            lease, self._lease = self._lease, None
            self._store.release(lease)

    def _kept(self, lease: Lease) -> bool:
        try:
            return self._store.renew(lease)
        except BrokerUnavailableError as error:
            if not error.node:
                raise
            return False  # the node of this seat is away; there are seats at the others

    def _acquired(self, number: int) -> Lease | None:
        try:
            return self._store.acquire(number)
        except BrokerUnavailableError as error:
            if not error.node:
                raise
            return None
