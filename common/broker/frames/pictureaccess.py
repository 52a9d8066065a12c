"""Who has looked at which picture, and when: noted before it is given out (state endpoint)."""

from __future__ import annotations

from dataclasses import dataclass

from common.broker.client import Client, call
from common.partition import Keys
from common.pictures import PictureRef

NOTES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class PictureAccess:
    """One look at a picture.

    Attributes:
        at_ms: When, by the broker's clock, Unix ms.
        by: Who.
        uri: Which picture.
        event: Id of the event that names it.
    """

    at_ms: int
    by: str
    uri: str
    event: str


class AccessLog:
    """Notes looks at pictures, and lists the last 10 000."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client of the state endpoint."""
        self._client = client
        self._key = keys.site("pictures:access")

    def note(self, ref: PictureRef, by: str, event: str) -> int:
        """Note a look that is about to happen; gives how many there have been so far.

        Raises:
            BrokerError: It was not noted for certain: the picture must not be given out.
        """
        fields = ("by", by[:200], "uri", ref.uri, "event", event[:100])
        call(self._client, "XADD", self._key, "MAXLEN", "~", NOTES_KEPT, "*", *fields)
        return int(call(self._client, "XLEN", self._key))

    def last(self, count: int = 100) -> list[PictureAccess]:
        """List the last looks, the newest first."""
        found = call(self._client, "XREVRANGE", self._key, "+", "-", "COUNT", count)
        return [_access(entry_id.decode(), fields or {}) for entry_id, fields in found]


def _access(entry_id: str, fields: dict[bytes, bytes]) -> PictureAccess:
    by, uri, event = (fields.get(name, b"").decode(errors="replace") for name in (b"by", b"uri", b"event"))
    return PictureAccess(int(entry_id.partition("-")[0]), by, uri, event)
