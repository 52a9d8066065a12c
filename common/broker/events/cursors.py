"""Named places in the event log, remembered on the broker, so that a subscriber continues where it stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.broker.client import Client, call
from common.broker.reading import order_of
from common.broker.scripts import Script
from common.errors import ConfigError
from common.partition import Keys

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

# Entry ids do not fit into the numbers of the script's language, so they are compared as digits: longer is later.
_SAVE = Script("""#!lua flags=allow-oom
local function later(a, b)
  local am, an = string.match(a, '^(%d+)-(%d+)$')
  local bm, bn = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return #am > #bm or (#am == #bm and am > bm) end
  return #an > #bn or (#an == #bn and an > bn)
end
local moved = 0
for at = 3, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[at])
  if not held or ARGV[1] == 'back' or later(ARGV[at + 1], held) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    moved = moved + 1
  end
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[2], time[1])
return moved
""")

_FORGET = Script("""#!lua flags=allow-oom
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
""")


class CursorStore:
    """Keeps the cursors of subscribers by name (state endpoint): partition to the entry id after which to read on.

    A stored cursor only moves forward, so that a subscriber which was thought dead cannot pull back the place of the
    one that took over. Only `set_back`, after a failover that lost the newest events, goes the other way.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client."""
        self._client = client
        self._keys = keys

    def load(self, name: str) -> dict[int, str]:
        """Give the stored cursors; empty where none of this name were ever stored."""
        found = call(self._client, "HGETALL", self._key(name))
        return {int(partition): cursor.decode() for partition, cursor in found.items()}

    def advance(self, name: str, cursors: Mapping[int, str]) -> int:
        """Store the cursors that are later than what is stored, and say how many were."""
        return self._save(name, cursors, "forward")

    def set_back(self, name: str, cursors: Mapping[int, str]) -> None:
        """Store cursors although they may be earlier."""
        self._save(name, cursors, "back")

    def forget(self, name: str) -> bool:
        """Remove a name; False where there was none."""
        return bool(_FORGET.run(self._client, [self._key(name), self._keys.site("cursors")], [name]))

    def names(self) -> dict[str, int]:
        """Give every name under which cursors are stored, with when they were stored last, s since 1970."""
        found = call(self._client, "HGETALL", self._keys.site("cursors"))
        return {name.decode(): int(at) for name, at in found.items()}

    def _save(self, name: str, cursors: Mapping[int, str], rule: str) -> int:
        arguments = [rule, name]
        for partition, cursor in cursors.items():
            milliseconds, number = order_of(cursor)
            arguments += [str(partition), f"{milliseconds}-{number}"]
        keys = [self._key(name), self._keys.site("cursors")]
        return int(_SAVE.run(self._client, keys, arguments)) if cursors else 0

    def _key(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for a cursor: lower-case letters, digits, '_', '.', '-', at most 63"
            )
        return self._keys.site(f"cursor:{name}")
