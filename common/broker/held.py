"""One connection kept for one kind of command, at less than half of what the client library's whole way costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from common.broker.client import Client, call
from common.broker.failures import translated

_IDLE_S = 1.0
"""After a pause of this length, a connection that the server closed meanwhile is noticed before it is used."""


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
        self._connection: Any = None
        self._used_at = 0.0
        self._turn = threading.Lock()

    def call(self, *command: Any) -> Any:
        """Send one command, once.

        Raises:
            BrokerUnavailableError: No answer, or a state that passes; ``in_doubt`` where it may have been carried out.
            BrokerRefusedError: The broker said no; nothing was carried out.
        """
        if self._pool is None or not self._turn.acquire(blocking=False):
            return call(self._client, *command)
        try:
            with translated():
                return self._sent(command)
        finally:
            self._turn.release()

    def _sent(self, command: tuple[Any, ...]) -> Any:
        now = self._clock()
        if self._connection is None:
            self._connection = self._pool.get_connection()
        elif now - self._used_at > _IDLE_S and self._connection.can_read():
            self._connection.disconnect()
        self._used_at = now
        # Both end the connection where anything but a reply comes of it, and the first one opens it again.
        self._connection.send_command(*command)
        return self._connection.read_response()
