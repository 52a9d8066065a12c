"""The partition count of an installation: chosen once, stored, and the same for everybody from then on."""

from __future__ import annotations

from common.broker.client import Client, call
from common.errors import BrokerRefusedError, BrokerUnavailableError, LayoutMismatchError
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
    return _checked(key, call(state_client, "GET", key), wanted)


def agreed_layout(state_client: Client, prefix: str, wanted: int | None) -> int:
    """Give the partition count as `ensure_layout` does, without writing where one is stored already.

    Raises:
        LayoutMismatchError: Another count is stored; it stays.
        BrokerUnavailableError: None is stored yet, and our user may not choose one: the operator does.
    """
    key = Keys(prefix).site("layout")
    stored = call(state_client, "GET", key)
    if stored is not None:
        return _checked(key, stored, wanted)
    try:
        return ensure_layout(state_client, prefix, wanted)
    except BrokerRefusedError as error:
        if error.code != "noperm":
            raise
        words = "the installation has no partition count yet; it comes with the first: maskwatch site publish SITE.yaml"
        raise BrokerUnavailableError("no_layout", words) from error


def _checked(key: str, stored: bytes | None, wanted: int | None) -> int:
    if stored is None or not stored.isdigit():
        raise LayoutMismatchError(f"{key} holds {stored!r}, no partition count; is the prefix used by something else?")
    if wanted is not None and int(stored) != wanted:
        raise LayoutMismatchError(
            f"the broker's {key} says {int(stored)} partitions, asked for are {wanted}; "
            f"cameras would change partition: keep {int(stored)}, or use another prefix"
        )
    return int(stored)
