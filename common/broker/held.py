"""One connection kept for one kind of command, at less than half of what the client library's whole way costs."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError

from common.broker.client import Client, call
from common.broker.failures import broker_error

OTHERS_AT_ONCE = 64
"""Each takes a connection; the client library gives out a hundred, and then fails as if the broker were down."""
_IDLE_S = 1.0
"""After a pause of this length, s, the client's pool looks whether the server has closed the connection meanwhile."""


class HeldConnection:
    """Sends single commands, each once; their replies are plain. Thread-safe.

    Whoever finds the connection in use, and everybody in a cluster, takes the client's usual way.

    Args:
        client: A command client; the connection is one of its own, and closed with it.
        clock: Monotonic seconds.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._pool: Any = client.connection_pool if isinstance(client, redis.Redis) else None
        self._kept: list[Any] = []
        self._used_at = 0.0
        # Whoever is no longer needed gives back what the pool counts as in use.
        weakref.finalize(self, _give_back, self._pool, self._kept).atexit = False
        self._turn = threading.Lock()
        self._others = threading.BoundedSemaphore(OTHERS_AT_ONCE)

    def call(self, *command: Any) -> Any:
        """Send one command, once.

        Raises:
            BrokerUnavailableError: No answer, or a state that passes; ``in_doubt`` where it may have been carried out.
            BrokerRefusedError: The broker said no; nothing was carried out.
        """
        if self._pool is None or not self._turn.acquire(blocking=False):
            with self._others:
                return call(self._client, *command)
        try:
            return self._sent(command)
        except RedisError as error:
            raise broker_error(error) from error
        finally:
            self._turn.release()

    def _sent(self, command: tuple[Any, ...]) -> Any:
        now = self._clock()
        if now - self._used_at > _IDLE_S:
            _give_back(self._pool, self._kept)
        if not self._kept:
            self._kept.append(self._pool.get_connection())
        self._used_at = now
        connection = self._kept[0]
        # Both end the connection where anything but a reply comes of it, and the first one opens it again.
        connection.send_command(*command)
        return connection.read_response()


def _give_back(pool: Any, kept: list[Any]) -> None:
    while kept:
        pool.release(kept.pop())
