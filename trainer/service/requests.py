"""A person's wish that the trainer runs now: one at a time, kept on the state broker until it is answered."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from common.broker.client import Client, call
from common.broker.scripts import Script
from common.partition import Keys

MAX_WORDS = 500

_ANSWER = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked, and why.

    Attributes:
        id: Made when it was asked.
        by: Such as ``ana@desk``.
        why: A few words.
        held_back: Whether samples of refused runs are to be tried again.
    """

    id: str
    by: str
    why: str
    held_back: bool = False


class RequestBox:
    """Holds the request that is not yet answered (state endpoint)."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._key = keys.site("trainer:request")

    def ask(self, by: str, why: str, *, held_back: bool = False) -> Request:
        """Ask for a run; an earlier request that is not yet answered is replaced."""
        request = Request(secrets.token_hex(8), by[:MAX_WORDS], why[:MAX_WORDS], held_back)
        fields = ("id", request.id, "by", request.by, "why", request.why, "held_back", str(int(held_back)))
        call(self._client, "HSET", self._key, *fields)
        return request

    def waiting(self) -> Request | None:
        """Give the request that waits."""
        identity, by, why, held_back = call(self._client, "HMGET", self._key, "id", "by", "why", "held_back")
        if not identity:
            return None
        return Request(identity.decode(), (by or b"").decode(), (why or b"").decode(), held_back == b"1")

    def answer(self, request_id: str) -> None:
        """Take a request away once its run is over; a newer one stays."""
        _ANSWER.run(self._client, [self._key], [request_id])
