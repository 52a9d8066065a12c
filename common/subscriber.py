"""Read the event log from Python: from any point, at least once, with gaps said and the place remembered.

    from common.subscriber import Gap, Subscriber, Subscription

    with Subscriber.connect(Subscription(name="dashboard", types=("violation",))) as events:
        for item in events:
            if isinstance(item, Gap):
                print("missed some:", item)
            else:
                print(item.body["data"]["verdict"])

`docs/delivery.md` says what may be relied on.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from common.broker.client import connect
from common.broker.events.cursors import CursorStore
from common.broker.events.log import BEGINNING, EventLog, LoggedEvent
from common.broker.layout import agreed_layout
from common.broker.reading import order_of
from common.errors import BrokerUnavailableError
from common.lifecycle import Deadline, StopSignal
from common.logreader import Found, LogReader
from common.partition import Keys
from common.settings import ServiceSettings, load
from common.subscription import CloudEventDict, Event, Gap, Item, Subscription, parsed

__all__ = ["AsyncSubscriber", "CloudEventDict", "Event", "Gap", "Item", "Subscriber", "Subscription"]

READ_BLOCK_S = 0.5
SAVE_EVERY_S = 1.0
T = TypeVar("T")


class Subscriber:
    """Iterates over the events of all partitions; for one thread. Another ends it by the ``stop`` given to `connect`.

    While the broker is away it waits with growing pauses and comes back by itself. It never changes the log.

    Attributes:
        repeats: Events dropped because their id had been given out before.
    """

    def __init__(
        self, log: EventLog, store: CursorStore, subscription: Subscription, stop: StopSignal | None = None
    ) -> None:
        """Find the place to begin; most callers want `connect`."""
        self._log, self._store, self._wanted = log, store, subscription
        self._stop = stop or StopSignal()
        self._closed = False
        self._on_close: list[Callable[[], object]] = []
        self._items: deque[Found] = deque()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._current: Item | None = None
        self._saved_at = 0.0
        self._given_ms = 0
        self.repeats = 0
        self._handled: dict[int, str] = {}
        self._unsaved: set[int] = set()
        self._reader = LogReader(log, self._stop, self._on_set_back)
        self._handled = self._begin()

    @classmethod
    def connect(
        cls,
        subscription: Subscription | None = None,
        url: str | None = None,
        *,
        prefix: str | None = None,
        stop: StopSignal | None = None,
    ) -> Self:
        """Connect to the state broker.

        Args:
            subscription: What is wanted; new events of all cameras by default.
            url: Broker URL; else that of ``MASKWATCH_STATE_URL``. Passwords come from the environment or a file.
            prefix: First part of the installation's keys; else that of ``MASKWATCH_PREFIX``.
            stop: Ends the iteration.

        Raises:
            ConfigError: URL, start or name cannot be used; nothing is left open.
            BrokerError: The broker does not answer or refuses; nothing is left open.
        """
        settings = load(ServiceSettings, state_url=url, prefix=prefix)
        return cls.open(settings, subscription, stop=stop)

    @classmethod
    def open(
        cls, settings: ServiceSettings, subscription: Subscription | None = None, *, stop: StopSignal | None = None
    ) -> Self:
        """Connect as `connect` does, with settings that were read already."""
        secret = settings.state_password.get_secret_value() if settings.state_password else None
        opened: list[Callable[[], object]] = []
        try:
            client = connect(settings.state_url, password=secret)
            opened.append(client.close)
            keys = Keys(settings.prefix, agreed_layout(client, settings.prefix, settings.partitions))
            blocking = connect(settings.state_url, blocking_s=READ_BLOCK_S, password=secret)
            opened.append(blocking.close)
            log, store = EventLog(client, blocking, keys), CursorStore(client, keys)
            made = cls(log, store, subscription or Subscription(), stop)
        except BaseException:
            for close in opened:
                close()
            raise
        made._on_close = opened
        return made

    @property
    def cursors(self) -> dict[int, str]:
        """Partition to the entry id up to which everything was given out or not wanted, the last item left out."""
        return dict(self._handled)

    @property
    def caught_up(self) -> bool:
        """Whether the last look at the log found nothing new."""
        return self._reader.idle and not self._items

    def lag_s(self, now: float) -> float:
        """Say how old, s, the last item given out is while there are more, else 0; ``now`` is unix time."""
        return 0.0 if self.caught_up or not self._given_ms else max(0.0, now - self._given_ms / 1000)

    def __iter__(self) -> Iterator[Item]:
        while not self._over():
            item = self.receive(READ_BLOCK_S if self._wanted.follow else 0)
            if item is not None:
                yield item
            elif self.caught_up and not self._wanted.follow:
                return

    def receive(self, timeout_s: float) -> Item | None:
        """Give the next item, waiting up to ``timeout_s`` s; None where there is none, or the end was asked for.

        The item given before counts as handled by this call, unless the subscription says ``remember="asked"``.
        """
        self._settle()
        deadline = Deadline.after(timeout_s)
        while not self._over():
            self._current = self._take()
            if self._current is not None:
                return self._current
            self._save_handled(idle=True)
            left_s = deadline.left_s()
            self._items += self._reader.read(min(left_s, READ_BLOCK_S))
            if not self._items and left_s <= 0:
                return None
        return None

    def remember(self, cursors: Mapping[int, str] | None = None) -> None:
        """Store the place on the broker now, the item given last included.

        Args:
            cursors: Partition to entry id, for those who handle events out of order; else everything given out.

        Raises:
            BrokerUnavailableError: It may not have been stored; what follows will be repeated.
        """
        if cursors is None and self._current is not None:
            self._mark(self._current)
            self._current = None
        if self._wanted.name:
            self._store.advance(self._wanted.name, self._handled if cursors is None else cursors)
            self._unsaved.clear()
            self._saved_at = time.monotonic()

    def close(self) -> None:
        """End the iteration and store what was handled; the item given last counts as not handled."""
        self._closed = True
        self._save_handled(idle=True)
        for close in self._on_close:
            close()
        self._on_close = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> dict[int, str]:
        wanted = self._wanted
        stored = self._store.load(wanted.name) if wanted.name else {}
        cursors = self._log.start_cursors(wanted.start) | stored
        if wanted.name and not stored:
            self._store.advance(wanted.name, cursors)  # now, so that "now" stays this moment after a crash
        from_oldest = not stored and wanted.start in ("0", BEGINNING)
        return self._reader.begin(cursors, continued=bool(stored), from_oldest=from_oldest)

    def _over(self) -> bool:
        return self._closed or self._stop.is_set()

    def _settle(self) -> None:
        if self._current is not None:
            self._mark(self._current)
            self._current = None
            self._save_handled(idle=False)

    def _mark(self, item: Item) -> None:
        # A trimmed gap is over with the event behind it; an unreadable entry has to be passed itself.
        if isinstance(item, Event) or item.reason == "unreadable":
            entry_id = item.entry_id if isinstance(item, Event) else item.until
            self._handled[item.partition] = entry_id
            self._unsaved.add(item.partition)

    def _save_handled(self, *, idle: bool) -> None:
        if not self._unsaved or not self._wanted.name or self._wanted.remember != "handled":
            return
        if not idle and time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return
        try:
            self._store.advance(self._wanted.name, {number: self._handled[number] for number in self._unsaved})
        except BrokerUnavailableError:
            return
        self._unsaved.clear()
        self._saved_at = time.monotonic()

    def _take(self) -> Item | None:
        while self._items:
            entry = self._items.popleft()
            if isinstance(entry, Gap):
                return entry
            logged, after = entry
            self._given_ms = order_of(logged.entry_id)[0]
            if self._wanted.wants(logged) and self._is_new(logged):
                return parsed(logged, after)
            self._handled[logged.partition] = logged.entry_id
            self._unsaved.add(logged.partition)
        return None

    def _is_new(self, event: LoggedEvent) -> bool:
        key = event.camera, event.id
        if event.id and key in self._seen:
            self._seen.move_to_end(key)
            self.repeats += 1
            return False
        self._seen[key] = None
        while len(self._seen) > self._wanted.window:
            self._seen.popitem(last=False)
        return True

    def _on_set_back(self, cursors: dict[int, str]) -> None:
        if self._wanted.name:
            self._store.set_back(self._wanted.name, cursors)
        self._handled |= cursors


class AsyncSubscriber:
    """The same for asyncio: a `Subscriber` in a thread of its own.

    A cancelled wait loses nothing: the next one continues it.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        """Take over a subscriber; nobody else may use it from now on."""
        self._subscriber = subscriber
        self._thread = ThreadPoolExecutor(1, "subscriber")
        self._pending: asyncio.Future[Item | None] | None = None

    @classmethod
    async def connect(cls, subscription: Subscription | None = None, url: str | None = None, **more: Any) -> Self:
        """Connect as `Subscriber.connect` does, with the same arguments and errors."""
        return cls(await asyncio.to_thread(Subscriber.connect, subscription, url, **more))

    async def __aiter__(self) -> AsyncIterator[Item]:
        plain = self._subscriber
        while not plain._over():
            item = await self.receive(READ_BLOCK_S if plain._wanted.follow else 0)
            if item is not None:
                yield item
            elif plain.caught_up and not plain._wanted.follow:
                return

    async def receive(self, timeout_s: float) -> Item | None:
        """Give the next item as `Subscriber.receive` does."""
        if self._pending is None:
            self._pending = self._later(lambda: self._subscriber.receive(timeout_s))
        pending = self._pending
        try:
            return await asyncio.shield(pending)
        finally:
            if pending.done():
                self._pending = None

    async def remember(self) -> None:
        """Store the place as `Subscriber.remember` does."""
        await self._later(self._subscriber.remember)

    async def close(self) -> None:
        """End the iteration and store what was handled."""
        self._subscriber._closed = True
        await self._later(self._subscriber.close)
        self._thread.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _later(self, action: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, action)
