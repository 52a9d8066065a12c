"""The published site plan: one versioned document that every service follows, and the versions before it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.broker.client import Client, call
from common.broker.scripts import Script
from common.errors import SitePlanError
from common.partition import Keys

VERSIONS_KEPT = 50
_MAX_UNPACKED_BYTES = 64 << 20
_REFUSED = 0

# The id of a history entry is its version, so that one is found without reading the others, and numbers only rise.
_PUBLISH = Script("""#!lua flags=allow-oom
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= version then
  return {0, version}
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if last[1] then
  version = math.max(version, tonumber(string.match(last[1][1], '^%d+')))
end
version = version + 1
local time = redis.call('TIME')
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[6], string.format('%d-0', version), 'z', ARGV[2],
  'at', time[1] .. '.' .. string.format('%06d', time[2]), 'by', ARGV[4], 'note', ARGV[5])
redis.call('HSET', KEYS[1], 'version', string.format('%d', version), 'payload', ARGV[1])
return {1, version}
""")


@dataclass(frozen=True, slots=True)
class Byline:
    """Who publishes a plan, and why.

    Attributes:
        author: Such as ``ana@desk``.
        note: A few words.
    """

    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One version of the plan, in force or past.

    Attributes:
        number: Version.
        at: When it was published, s since the epoch by the broker's clock.
        byline: Who did it, and why.
        packed: Its content, compressed.
    """

    number: int
    at: float
    byline: Byline
    packed: bytes

    @property
    def payload(self) -> bytes:
        """The plan as it was published.

        Raises:
            SitePlanError: What is stored is damaged; other versions are not.
        """
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(self.packed, _MAX_UNPACKED_BYTES)
        except zlib.error as error:
            raise SitePlanError(f"version {self.number}: what is stored cannot be unpacked") from error
        if not unpacker.eof:
            raise SitePlanError(f"version {self.number}: what is stored is cut off or too large")
        return content


class PlanStore:
    """Holds the site plan in force and the last 50 versions (state endpoint)."""

    def __init__(self, client: Client, prefix: str) -> None:
        """Use a command client and the first part of the installation's keys."""
        self._client = client
        self._key = Keys(prefix).site("plan")
        self._history = Keys(prefix).site("plan:history")

    def publish(self, payload: bytes, byline: Byline = Byline(), *, expect: int | None = None) -> int:
        """Put a plan in force and give its version, 1 more than the last.

        Args:
            payload: The plan, UTF-8 JSON.
            byline: Who publishes it, and why.
            expect: The version that must be in force now (0: none), so that nobody's work is overwritten unseen; None
                publishes over any.

        Raises:
            SitePlanError: Another version than ``expect`` is in force; it stays.
            BrokerUnavailableError: With ``in_doubt`` it may be in force; with ``expect`` it is safe to try again.
        """
        arguments = [payload, zlib.compress(payload, 6), "" if expect is None else expect]
        arguments += [byline.author, byline.note, VERSIONS_KEPT]
        done, version = map(int, _PUBLISH.run(self._client, [self._key, self._history], arguments))
        if done == _REFUSED:
            raise SitePlanError(
                f"version {version} is in force, not {expect}: somebody else has published; nothing was changed"
            )
        return version

    def load(self) -> tuple[int, bytes] | None:
        """Give version and payload of the plan in force, or None where none was ever published."""
        version, payload = call(self._client, "HMGET", self._key, "version", "payload")
        return None if version is None or payload is None else (int(version), payload)

    def version(self) -> int:
        """Give the version in force, 0 where none was ever published; cheap enough to ask every second."""
        return int(call(self._client, "HGET", self._key, "version") or 0)

    def history(self) -> list[PlanVersion]:
        """Give the versions that are kept, the newest first; the first is the one in force."""
        return [_version(*entry) for entry in call(self._client, "XREVRANGE", self._history, "+", "-")]

    def at(self, number: int) -> PlanVersion:
        """Give one version.

        Raises:
            SitePlanError: It was never published or is not kept any more; the message says which ones are.
        """
        found = call(self._client, "XRANGE", self._history, f"{number}-0", f"{number}-0") if number > 0 else []
        if found:
            return _version(*found[0])
        kept = [version.number for version in self.history()]
        known = f"kept are {kept[-1]} to {kept[0]}" if kept else "none was ever published"
        raise SitePlanError(f"there is no version {number} of the site plan; {known}")


def _version(entry_id: bytes, content: Mapping[bytes, bytes] | Sequence[bytes]) -> PlanVersion:
    fields: dict[bytes, Any] = dict(
        content if isinstance(content, Mapping) else zip(content[::2], content[1::2], strict=True)
    )
    byline = Byline(
        fields.get(b"by", b"").decode("utf-8", "replace"), fields.get(b"note", b"").decode("utf-8", "replace")
    )
    return PlanVersion(int(entry_id.partition(b"-")[0]), float(fields.get(b"at", 0)), byline, fields.get(b"z", b""))
