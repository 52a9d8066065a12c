"""The site stage against a real broker, turn by turn in this process: the log, fences, takeovers."""

from __future__ import annotations

import threading

from common.broker.client import call
from common.broker.events.cursors import CursorStore
from common.broker.events.log import EventLog
from common.broker.ownership import Commit, EventRecord
from common.broker.siteinbox import SiteInbox
from common.lifecycle import StopSignal
from common.partition import SITE
from common.subscriber import Event, Gap, Subscriber, Subscription
from tests.brokers import Brokers
from tests.event_writing import EventWriter
from tests.site_bench import Bench, feedback, publish, say, site_log
from tests.site_scenes import a_violation
from tests.waiting import until


def test_cameras_of_different_partitions_make_one_incident_that_subscribers_get(brokers: Brokers) -> None:
    home = brokers.keys.partition_of("gate-1")
    cameras = ["gate-1", next(f"g{n}" for n in range(99) if brokers.keys.partition_of(f"g{n}") != home)]
    publish(brokers, cameras=cameras)
    bench = Bench(brokers)
    for number in range(3):
        say(brokers, f"p{number}", cameras[number % 2])
    bench.settle()

    log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
    wanted = Subscription(start="0", types=("incident",), follow=False)
    (event,) = Subscriber(log, CursorStore(brokers.state, brokers.keys), wanted)
    assert isinstance(event, Event)
    assert (event.partition, event.camera, event.body["data"]["persons"]) == (SITE, "", 3)
    assert event.body["data"]["cameras"] == sorted(cameras)


def test_a_cursor_that_was_stored_before_there_was_a_site_log_still_works(brokers: Brokers) -> None:
    publish(brokers)
    store, writer = CursorStore(brokers.state, brokers.keys), EventWriter(brokers.state, brokers.keys)
    log = EventLog(brokers.state, brokers.state_blocking, brokers.keys)
    first, second = writer.write("gate-1", 2)
    before = log.start_cursors("now")
    ids = [entry.entry_id for entry in log.read(log.start_cursors("0"), 0, 10)]
    store.advance("old", {number: ids[0] for number in before if number != SITE})
    SiteInbox(brokers.state, brokers.keys).post(feedback("n1"))
    Bench(brokers).settle()
    found = list(
        Subscriber(log, store, Subscription(name="old", start="0", types=("violation", "feedback"), follow=False))
    )

    assert [item.id for item in found if isinstance(item, Event)] == [second, "n1"]
    assert not any(isinstance(item, Gap) for item in found)
    assert SITE in store.load("old")
    assert first != second


def test_a_site_log_trimmed_beyond_the_cursor_is_a_visible_gap(brokers: Brokers) -> None:
    publish(brokers)
    inbox, bench = SiteInbox(brokers.state, brokers.keys), Bench(brokers)
    log, store = EventLog(brokers.state, brokers.state_blocking, brokers.keys), CursorStore(brokers.state, brokers.keys)
    inbox.post(feedback("n0"))
    bench.settle()
    wanted = Subscription(name="slow", start="0", types=("feedback",), follow=False)
    with Subscriber(log, store, wanted) as events:
        assert [item.id for item in events if isinstance(item, Event)] == ["n0"]
    for number in range(1, 4):
        inbox.post(feedback(f"n{number}"))
    bench.settle()
    call(brokers.state, "XTRIM", brokers.keys.site_events(), "MAXLEN", 1)

    gap, last = list(Subscriber(log, store, wanted))
    assert isinstance(gap, Gap)
    assert (gap.partition, gap.reason) == (SITE, "trimmed")
    assert isinstance(last, Event)
    assert last.id == "n3"


def test_a_zombie_writes_nothing_and_the_heir_goes_on(brokers: Brokers) -> None:
    publish(brokers)
    old, heir = Bench(brokers, "old", ttl_s=0.05), Bench(brokers, "heir")
    say(brokers, "a")
    old.settle()
    say(brokers, "b")

    def heir_holds() -> bool:
        heir.loop._looked_s = float("-inf")
        heir.loop.turn()
        return heir.value("maskwatch_site_stage_held") == 1

    until(heir_holds, 5)
    heir.settle()
    say(brokers, "c")
    threading.Event().wait(0.003)
    assert old.loop._guarded() is False  # it still believes that it holds the lease, and reads b and c
    assert old.value("maskwatch_site_commits_fenced_total") == 1
    assert site_log(brokers, "incident") == []
    heir.settle()

    assert [event["data"]["persons"] for event in site_log(brokers, "incident")] == [3]


def test_a_state_that_moved_on_is_never_overwritten(brokers: Brokers) -> None:
    """As after a commit whose answer was lost: the stored step, not the memory, says how far it is."""
    publish(brokers)
    bench = Bench(brokers)
    say(brokers, "a")
    bench.settle()
    store = brokers.store("me")
    lease = store.acquire(SITE)
    assert lease is not None
    step = store.load(SITE).offset
    store.commit(lease, Commit(step, "77-0", [EventRecord(b'{"type":"x","data":{}}', "x", "", "x")]))
    say(brokers, "b")
    threading.Event().wait(0.003)

    assert bench.loop._guarded() is False
    assert store.load(SITE).offset == "77-0"
    bench.loop._looked_s = float("-inf")
    bench.settle()
    assert store.load(SITE).offset > "77-0"


def test_a_stage_that_stops_gives_the_lease_back_at_once(brokers: Brokers) -> None:
    publish(brokers)
    bench, stop = Bench(brokers), StopSignal()
    say(brokers, "a")
    thread = threading.Thread(target=bench.loop.run, args=(stop,))
    thread.start()
    until(lambda: bench.value("maskwatch_site_stage_held") == 1, 5)
    stop.set()
    thread.join(5)

    assert brokers.store("heir").acquire(SITE) is not None
    assert bench.value("maskwatch_site_stage_held") == 0


def test_more_entries_of_one_millisecond_than_a_read_takes_are_all_taken(brokers: Brokers) -> None:
    publish(brokers, incidents=[{"id": "crowd", "zone": "platform", "more_than": 8, "within_min": 5}])
    bench = Bench(brokers, batch=2)
    now_ms = bench.loop._around.streams.now_ms()
    key = brokers.keys.events(brokers.keys.partition_of("gate-1"))
    for number in range(9):
        fields = [part for pair in a_violation(f"p{number}", "gate-1").items() for part in pair]
        call(brokers.state, "XADD", key, f"{now_ms - 5000}-{number}", *fields)
    bench.settle()

    assert [event["data"]["persons"] for event in site_log(brokers, "incident")] == [9]
