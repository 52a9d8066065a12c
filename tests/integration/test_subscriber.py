"""The Python client on a real broker: from any point, at least once, gaps said, place remembered, outages survived."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.events.cursors import CursorStore
from common.broker.events.log import EventLog
from common.broker.layout import ensure_layout
from common.errors import BrokerRefusedError, ConfigError
from common.lifecycle import StopSignal
from common.partition import Keys
from common.subscriber import AsyncSubscriber, Event, Gap, Item, Subscriber, Subscription
from maskwatch.rights import ROLES
from maskwatch.rights import rules as rules_of
from tests.brokers import Brokers
from tests.event_writing import STATUS, EventWriter
from tests.waiting import soon, until

ROOT = Path(__file__).resolve().parents[2]
Opener = Callable[..., Subscriber]


@pytest.fixture
def writer(brokers: Brokers) -> EventWriter:
    """Writes into the test's own log."""
    return EventWriter(brokers.state, brokers.keys)


@pytest.fixture
def subscribe(brokers: Brokers) -> Iterator[Opener]:
    """Opens subscribers of the test's own log, which end where the log ends."""
    opened: list[Subscriber] = []

    def make(**wanted: object) -> Subscriber:
        log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
        subscription = Subscription(**{"start": "0", "follow": False, **wanted})  # type: ignore[arg-type]
        opened.append(Subscriber(log, CursorStore(brokers.state, brokers.keys), subscription))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def ids(items: Iterator[Item] | Subscriber) -> list[str]:
    """Ids of the events; a gap shows as ``gap``."""
    return [item.id if isinstance(item, Event) else "gap" for item in items]


def test_everything_kept_is_replayed_in_order(subscribe: Opener, writer: EventWriter) -> None:
    made = {camera: writer.write(camera, 150) for camera in ("a", "b", "c")}
    items = [item for item in subscribe() if isinstance(item, Event)]
    assert {camera: [item.id for item in items if item.camera == camera] for camera in made} == made


def test_now_gives_only_what_comes_next(subscribe: Opener, writer: EventWriter) -> None:
    writer.write("a", 3)
    events = subscribe(start="now")
    made = writer.write("a", 2) + writer.write("b", 1)
    assert sorted(ids(events)) == sorted(made)


def test_an_event_is_typed_and_keeps_its_bytes(subscribe: Opener, writer: EventWriter) -> None:
    (identity,) = writer.write("a")
    (item,) = subscribe()
    assert isinstance(item, Event)
    assert (item.id, item.camera, item.body["id"], item.body["data"]["verdict"]) == (identity, "a", identity, "no_mask")
    assert identity.encode() in item.raw


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"cameras": ("a",)}, 3),
        ({"types": ("violation",)}, 4),
        ({"types": ("violation.started",)}, 4),
        ({"types": (STATUS,)}, 1),
        ({"types": ("violation.ended", "camera.status")}, 1),
        ({"types": ("viol",)}, 0),
        ({"types": ("violation",), "cameras": ("b",)}, 2),
    ],
)
def test_filters(subscribe: Opener, writer: EventWriter, wanted: dict[str, tuple[str, ...]], count: int) -> None:
    writer.write("a", 2)
    writer.write("b", 2)
    writer.write("a", 1, STATUS)
    assert len(ids(subscribe(**wanted))) == count


def test_a_named_subscriber_goes_on_behind_what_it_handled(subscribe: Opener, writer: EventWriter) -> None:
    """It stops in the middle: what it had in hand comes again, what it handled before does not."""
    made = writer.write("a", 5)
    first = subscribe(name="dash")
    taken = iter(first)
    assert [next(taken).id, next(taken).id, next(taken).id] == made[:3]  # type: ignore[union-attr]
    first.close()
    second = subscribe(name="dash", start="now")
    assert ids(second) == made[2:]
    second.close()
    assert ids(subscribe(name="dash")) == []


def test_remember_counts_the_event_in_hand(subscribe: Opener, writer: EventWriter) -> None:
    made = writer.write("a", 3)
    first = subscribe(name="dash", remember="asked")
    assert first.receive(1).id == made[0]  # type: ignore[union-attr]
    first.remember()
    assert first.receive(1).id == made[1]  # type: ignore[union-attr]
    first.close()
    assert ids(subscribe(name="dash")) == made[1:]


def test_a_new_name_that_starts_now_keeps_that_moment(subscribe: Opener, writer: EventWriter) -> None:
    """It dies before its first event; what was written meanwhile is not lost."""
    subscribe(name="dash", start="now")
    made = writer.write("a", 2)
    assert ids(subscribe(name="dash", start="now")) == made


def test_a_stored_cursor_only_moves_forward(brokers: Brokers) -> None:
    store = CursorStore(brokers.state, brokers.keys)
    assert store.load("dash") == {}
    assert store.advance("dash", {0: "99999999999999999-1", 1: "5-0"}) == 2
    assert store.advance("dash", {0: "99999999999999998-9", 1: "5-10"}) == 1
    assert store.load("dash") == {0: "99999999999999999-1", 1: "5-10"}
    assert store.advance("dash", {1: "5-9"}) == 0
    store.set_back("dash", {1: "4-0"})
    assert store.load("dash")[1] == "4-0"
    assert store.names()["dash"] == pytest.approx(time.time(), abs=5)
    assert store.forget("dash")
    assert not store.forget("dash")
    assert store.names() == {}


@pytest.mark.parametrize("name", ["A", "a b", "../x", "x" * 64])
def test_a_name_that_is_none_is_refused(subscribe: Opener, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a cursor"):
        subscribe(name=name)


def test_an_id_that_came_before_is_dropped(subscribe: Opener, writer: EventWriter) -> None:
    """As after a failover: the same events stand in the log twice, under other entry ids."""
    events = [writer._event("a", "t", "alert") for _ in range(3)]
    for event in [*events, *events]:
        writer.append("a", event)
    subscriber = subscribe()
    assert ids(subscriber) == [event["id"] for event in events]
    assert subscriber.repeats == 3
    assert len(ids(subscribe(window=1))) == 6


def test_a_log_trimmed_beyond_the_cursor_is_a_visible_gap(subscribe: Opener, writer: EventWriter) -> None:
    """At the start, for a cursor older than the log, and in its place before the first event that is left."""
    first = writer.append("a", writer._event("a", "t", "alert"))
    for _ in range(4):
        writer.append("a", writer._event("a", "t", "alert"), maxlen=2)
    items = list(subscribe(start=first))
    assert isinstance(items[0], Gap)
    assert (items[0].after, items[0].reason) == (first, "trimmed")
    assert isinstance(items[1], Event)
    assert items[0].until == items[1].entry_id
    assert len(items) == 3
    assert ids(subscribe(start="0")).count("gap") == 0, "who asks for what is kept misses nothing"


@pytest.mark.parametrize("seen_before", [0, 1])
def test_a_reader_that_is_too_slow_is_told_while_running(
    subscribe: Opener, writer: EventWriter, seen_before: int
) -> None:
    """Also where its partition was empty when it began."""
    made = writer.write("a", seen_before)
    subscriber = subscribe()
    assert ids(subscriber) == made
    kept = [writer._event("a", "t", "alert") for _ in range(6)]
    for event in kept:
        writer.append("a", event, maxlen=2)
    assert ids(subscriber) == ["gap", *(event["id"] for event in kept[-2:])]


def test_an_old_entry_id_is_no_gap_in_a_log_that_lost_nothing(subscribe: Opener, writer: EventWriter) -> None:
    made = writer.write("a", 2)
    assert ids(subscribe(start="1-0")) == made


def test_an_entry_that_is_no_event_is_said_and_passed(subscribe: Opener, writer: EventWriter, brokers: Brokers) -> None:
    before = writer.write("a")
    call(brokers.state, "XADD", brokers.keys.events(brokers.keys.partition_of("a")), "*", "event", "{", "camera", "a")
    after = writer.write("a")
    assert ids(subscribe()) == [*before, "gap", *after]


def test_an_outage_is_waited_for_and_nothing_is_missed(private_broker: EmbeddedBroker) -> None:
    """The broker is stopped and started again under a running subscriber."""
    client = connect(private_broker.url)
    keys = Keys("out", ensure_layout(client, "out", 4))
    writer = EventWriter(client, keys)
    with Subscriber.connect(Subscription(start="0", name="x"), private_broker.url, prefix="out") as subscriber:
        first = writer.write("a", 2)
        assert [subscriber.receive(5).id for _ in first] == first  # type: ignore[union-attr]
        private_broker.stop()
        assert subscriber.receive(0.3) is None
        private_broker.start()
        second = until(lambda: _written(writer), 20)
        found = [until(lambda: subscriber.receive(1), 20).id for _ in second]  # type: ignore[union-attr]
        assert found == second
    client.close()


def _written(writer: EventWriter) -> list[str]:
    try:
        return writer.write("b", 2)
    except Exception:
        return []


def test_after_a_failover_that_lost_events_the_cursor_goes_back(subscribe: Opener, writer: EventWriter) -> None:
    """The log ends before the remembered place: the reader does not wait in silence until it has caught up."""
    made = writer.write("a", 2)
    subscriber = subscribe(name="x")
    assert ids(subscriber) == made
    partition = subscriber._store._keys.partition_of("a")
    beyond = f"{int(subscriber.cursors[partition].partition('-')[0]) + 60_000}-0"
    subscriber._store.advance("x", {partition: beyond})
    assert set(ids(subscribe(name="x"))) == set(made)
    assert subscriber._store.load("x")[partition] != beyond


def test_the_asynchronous_client_gives_the_same_and_loses_nothing_when_cancelled(
    subscribe: Opener, writer: EventWriter
) -> None:
    made = writer.write("a", 2)

    async def main() -> list[str]:
        async with AsyncSubscriber(subscribe(name="async")) as events:
            found = [item async for item in events]
            waiting = asyncio.create_task(events.receive(5))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            later = writer.write("a")
            late = await events.receive(5)
            await events.remember()
            assert late is not None
            assert [late.id] == later  # type: ignore[union-attr]
            return [item.id for item in found if isinstance(item, Event)]

    assert asyncio.run(main()) == made
    assert ids(subscribe(name="async")) == []


def test_another_thread_ends_a_subscriber_that_waits(brokers: Brokers) -> None:
    stop = StopSignal()
    log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
    with Subscriber(log, CursorStore(brokers.state, brokers.keys), Subscription(), stop) as events, soon(stop.set):
        assert ids(events) == []


def test_the_example_of_the_documentation_runs(private_broker: EmbeddedBroker) -> None:
    """It prints each event once over two runs, since the broker remembers its place."""
    client = connect(private_broker.url)
    writer = EventWriter(client, Keys("mw", ensure_layout(client, "mw", 4)))
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "docs/examples/subscribe.py", "--url", private_broker.url, "--once"]

    def run() -> str:
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    writer.write("gate-1", 2)
    assert run().count("gate-1") == 2
    writer.write("gate-2", 1)
    assert run().split() == ["gate-2", "violation.started", "no_mask"]
    client.close()


READING = ["reset", "on", ">pw", *rules_of(ROLES["reader"], "state")]
REMEMBERING = ["reset", "on", ">pw", *rules_of(ROLES["subscriber"], "state")]
"""The users of `docs/security.md`."""


@pytest.mark.parametrize(("rules", "name"), [(READING, ""), (REMEMBERING, "dash")])
def test_a_narrow_user_of_the_broker_is_enough(private_broker: EmbeddedBroker, rules: list[str], name: str) -> None:
    """One for those who only read, one for those whose place is remembered; neither may write events."""
    client = connect(private_broker.url)
    writer = EventWriter(client, Keys("mw", ensure_layout(client, "mw", 4)))
    call(client, "ACL SETUSER", "narrow", *rules)
    made = writer.write("a", 2)
    url = private_broker.url.replace(f":{private_broker.password}@", "narrow:pw@")
    wanted = Subscription(start="0", name=name, follow=False)
    with Subscriber.connect(wanted, url) as events:
        assert ids(events) == made
        with pytest.raises(BrokerRefusedError):
            call(events._log._client, "XADD", "mw:{p00}:ev", "*", "event", "{}")
    if name:
        with Subscriber.connect(wanted, url) as events:
            assert ids(events) == []
    client.close()
