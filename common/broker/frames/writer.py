"""Writes frames to their cameras' streams (frames endpoint)."""

from __future__ import annotations

from common.broker.client import Client
from common.broker.held import HeldConnection
from common.partition import Keys


class FrameWriter:
    """Appends frames and marks to their cameras' streams."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client; it must not repeat commands by itself."""
        self._connection = HeldConnection(client)
        self._keys = keys

    def append(self, camera: str, header: bytes, jpeg: bytes | None, maxlen: int) -> str:
        """Append one entry and drop the oldest beyond ``maxlen``; the newest frames win.

        Returns:
            The broker's entry id.

        Raises:
            BrokerRefusedError: It was not written (out of memory, no permission).
            BrokerUnavailableError: With ``in_doubt`` it may have been written: do not use its number again.
        """
        picture = () if jpeg is None else ("jpeg", jpeg)
        command = "XADD", self._keys.frames(camera), "MAXLEN", maxlen, "*", "h", header, *picture
        entry_id = self._connection.call(*command)
        return str(entry_id.decode())
