"""Keeps the consumer group of every stream in existence, without hammering a broker that lost them."""

from __future__ import annotations

from collections.abc import Collection

from common.broker.client import Client, call_many
from common.broker.frames.entries import GROUP
from common.errors import BrokerError

CREATE_BACKOFF_S = 1.0


class Groups:
    """Knows which streams have their group; time is an argument, monotonic seconds.

    Attributes:
        recreated: How often groups were made again after the broker had lost them.
        refused: The broker's last reason not to make one, None when it made all.
    """

    def __init__(self, client: Client) -> None:
        """Use a command client."""
        self.recreated = 0
        self.refused: BrokerError | None = None
        self._client = client
        self._present: set[str] = set()
        self._lost: set[str] = set()
        self._tried: set[str] = set()
        self._next_try = 0.0

    def ensure(self, streams: Collection[str], now: float) -> list[str]:
        """Make the groups that are missing, again at most once a second, and list the streams that have theirs.

        A group starts at the oldest entry (``0``, never ``$``): frames that came before it are read, not skipped.
        """
        missing = [key for key in streams if key not in self._present]
        due = missing if now >= self._next_try else [key for key in missing if key not in self._tried]
        if due:
            self._next_try = now + CREATE_BACKOFF_S
            self._tried |= set(due)
            self._create(due)
        return [key for key in streams if key in self._present]

    def lose(self) -> None:
        """Take note that the broker has lost groups; which ones it will tell when they are made again."""
        self._lost |= self._present
        self._present.clear()

    def _create(self, missing: list[str]) -> None:
        self.refused = None
        answers = call_many(self._client, [("XGROUP CREATE", key, GROUP, "0", "MKSTREAM") for key in missing])
        made_again = False
        for key, answer in zip(missing, answers, strict=True):
            if isinstance(answer, BrokerError) and answer.code != "busygroup":
                self.refused = answer
                continue
            self._present.add(key)
            made_again |= key in self._lost and not isinstance(answer, BrokerError)
            self._lost.discard(key)
        self.recreated += made_again
