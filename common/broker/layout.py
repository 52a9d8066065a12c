"""The partition count of an installation: chosen once, stored, and the same for everybody from then on."""

from __future__ import annotations

from common.broker.client import Client, call
from common.errors import LayoutMismatchError
from common.partition import DEFAULT_PARTITIONS, Keys


def ensure_layout(state_client: Client, prefix: str, wanted: int | None) -> int:
    """Agree on the partition count: the first process stores it, later ones must want the same.

    Args:
        state_client: Command client of the state endpoint.
        prefix: First part of every key of the installation.
        wanted: Count asked for; None takes what is stored, or the default where nothing is.

    Returns:
        The count in force.

    Raises:
        LayoutMismatchError: Another count is stored; it stays.
    """
    key = Keys(prefix).site("layout")
    call(state_client, "SET", key, wanted or DEFAULT_PARTITIONS, "NX")
    stored = call(state_client, "GET", key)
    if stored is None or not stored.isdigit():
        raise LayoutMismatchError(f"{key} holds {stored!r}, no partition count; is the prefix used by something else?")
    if wanted is not None and int(stored) != wanted:
        raise LayoutMismatchError(
            f"the broker's {key} says {int(stored)} partitions, asked for are {wanted}; "
            f"cameras would change partition: keep {int(stored)}, or use another prefix"
        )
    return int(stored)


def agreed_layout(state_client: Client, prefix: str, wanted: int | None) -> int:
    """Give the partition count as `ensure_layout` does, without writing where one is stored already.

    Raises:
        LayoutMismatchError: Another count is stored; it stays.
    """
    stored = call(state_client, "GET", Keys(prefix).site("layout"))
    if stored is None or not stored.isdigit() or int(stored) != (wanted or int(stored)):
        return ensure_layout(state_client, prefix, wanted)
    return int(stored)
