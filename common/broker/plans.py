"""The published site plan: one versioned document that every service follows."""

from __future__ import annotations

from common.broker.client import Client, call
from common.broker.scripts import Script
from common.partition import Keys

_PUBLISH = Script("""#!lua flags=allow-oom
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'payload', ARGV[1])
return version
""")


class PlanStore:
    """Holds the site plan in force (state endpoint)."""

    def __init__(self, client: Client, prefix: str) -> None:
        """Use a command client and the first part of the installation's keys."""
        self._client = client
        self._key = Keys(prefix).site("plan")

    def publish(self, payload: bytes) -> int:
        """Put a plan in force and give its version, 1 more than the last."""
        return int(_PUBLISH.run(self._client, [self._key], [payload]))

    def load(self) -> tuple[int, bytes] | None:
        """Give version and payload of the plan in force, or None where none was ever published."""
        version, payload = call(self._client, "HMGET", self._key, "version", "payload")
        return None if version is None or payload is None else (int(version), payload)

    def version(self) -> int:
        """Give the version in force, 0 where none was ever published; cheap enough to ask every second."""
        return int(call(self._client, "HGET", self._key, "version") or 0)
