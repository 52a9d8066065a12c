"""How much of a camera's stream its readers have not dealt with yet, for producers that wait rather than drop."""

from __future__ import annotations

from common.broker.client import Client, call_many
from common.broker.frames.entries import GROUP
from common.errors import BrokerError
from common.partition import Keys


def outstanding(client: Client, keys: Keys, camera: str) -> int | None:
    """Count the entries of a camera that no worker has read, or that one has read but not acknowledged.

    Args:
        client: Command client of the frames endpoint.
        keys: Names of the installation's keys.
        camera: Camera id.

    Returns:
        Entries; None where nobody reads this camera yet, so that nothing would ever be dealt with.

    Raises:
        BrokerUnavailableError: No answer.
        BrokerRefusedError: The broker said no.
    """
    key = keys.frames(camera)
    length, groups = call_many(client, [("XLEN", key), ("XINFO GROUPS", key)])
    if isinstance(length, BrokerError):
        raise length
    if isinstance(groups, BrokerError):
        if length == 0:
            return None  # the stream does not exist yet, and so has no group
        raise groups
    group = next((item for item in groups if item["name"] == GROUP.encode()), None)
    if group is None:
        return None
    # The broker's own count is null or too high once unread entries were trimmed; the length bounds it.
    unread = int(length) if group["lag"] is None else min(int(group["lag"]), int(length))
    return int(group["pending"]) + unread
