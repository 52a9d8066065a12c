"""Event log, results, plan and layout: what their readers and writers may rely on."""

from __future__ import annotations

import pytest

from common.broker.client import call
from common.broker.events.log import EventLog
from common.broker.layout import ensure_layout
from common.broker.ownership import Commit, EventRecord
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.errors import ConfigError, LayoutMismatchError
from common.partition import DEFAULT_PARTITIONS
from tests.brokers import Brokers


def publish(brokers: Brokers, partition: int, *names: str) -> None:
    """Commit one event per name."""
    store = brokers.store("test")
    lease = store.acquire(partition)
    assert lease is not None
    offset = store.load(partition).offset
    records = [EventRecord(b'{"id":"%s"}' % name.encode(), "violation.started", "cam", name) for name in names]
    store.commit(lease, Commit(offset, offset, records))


def event_log(brokers: Brokers) -> EventLog:
    """Make a reader of the event log."""
    return EventLog(brokers.state, brokers.state_blocking, brokers.keys)


def test_a_subscriber_reads_all_partitions_from_where_it_wants(any_brokers: Brokers) -> None:
    """From the beginning, from now, and from an entry onwards."""
    log = event_log(any_brokers)
    publish(any_brokers, 0, "a", "b")
    publish(any_brokers, 3, "c")
    cursors = log.start_cursors("0")
    found = log.read(cursors, 0, 10)
    assert [(item.partition, item.id, item.type, item.camera) for item in found] == [
        (0, "a", "violation.started", "cam"),
        (0, "b", "violation.started", "cam"),
        (3, "c", "violation.started", "cam"),
    ]
    assert found[0].event == b'{"id":"a"}'
    now = log.start_cursors("now")
    assert log.read(now, 0.05, 10) == []
    publish(any_brokers, 0, "d")
    assert [item.id for item in log.read(now, 1, 10)] == ["d"]
    later = {item.id for item in log.read(log.start_cursors(found[0].entry_id), 0, 10)}
    assert later - {"c"} == {"b", "d"}  # another partition's entry may have the same id as the first


@pytest.mark.parametrize("where", ["yesterday", "-1", "", "5-", "0x5"])
def test_a_place_that_is_none_is_refused(brokers: Brokers, where: str) -> None:
    with pytest.raises(ConfigError, match="event log"):
        event_log(brokers).start_cursors(where)


def test_b25_a_cursor_beyond_the_end_of_the_log_is_set_back(any_brokers: Brokers) -> None:
    """After a failover that lost the newest events, a subscriber goes back a minute instead of waiting in silence."""
    log = event_log(any_brokers)
    publish(any_brokers, 0, "a")
    (item,) = log.read(log.start_cursors("0"), 0, 10)
    milliseconds = int(item.entry_id.partition("-")[0])
    cursors = {0: f"{milliseconds + 5000}-0", 1: "7-0", 2: "0-0"}
    assert log.read(cursors, 0, 10) == []
    settled = log.rewind(cursors, overlap_s=60)
    assert settled == {0: f"{milliseconds - 60_000}-0", 1: "0-0", 2: "0-0"}
    assert [event.id for event in log.read(settled, 0, 10)] == ["a"]
    assert log.rewind({0: item.entry_id}) == {0: item.entry_id}


def test_b28_a_subscriber_that_was_too_slow_is_told(any_brokers: Brokers) -> None:
    """When the log was trimmed beyond a cursor, the gap is named; a cursor still inside the log has none."""
    log = event_log(any_brokers)
    publish(any_brokers, 0, "a", "b", "c")
    first, second, third = [item.entry_id for item in log.read(log.start_cursors("0"), 0, 10)]
    assert log.gaps({0: first, 1: "0-0"}) == {}
    call(any_brokers.state, "XTRIM", any_brokers.keys.events(0), "MAXLEN", 1)
    assert log.gaps({0: first, 1: "5-0"}) == {0: third}
    assert log.gaps({0: second}) == {0: third}
    assert log.gaps({0: third}) == {}
    assert log.gaps(log.start_cursors("0")) == {}


def test_results_are_kept_in_order_and_within_bounds(any_brokers: Brokers) -> None:
    """Results of several partitions go out together, each in order; an unread stream does not grow for ever."""
    writer = ResultWriter(any_brokers.state, any_brokers.keys, kept=100)
    writer.append_many([])
    writer.append_many([(number % 2, b"r%d" % number) for number in range(1000)])
    found = any_brokers.store("x").read({0: "0-0", 1: "0-0"}, 1000, 0)
    assert [payload for _, payload in found[0]][-3:] == [b"r994", b"r996", b"r998"]
    assert 100 <= len(found[1]) < 250


def test_an_entry_that_is_not_ours_is_given_out_empty(any_brokers: Brokers) -> None:
    """A foreign message in the results does not stop the reader; it sees an empty payload."""
    call(any_brokers.state, "XADD", any_brokers.keys.results(0), "*", "x", "y")
    ((_, payload),) = any_brokers.store("x").read({0: "0-0"}, 10, 0)[0]
    assert payload == b""


def test_the_first_start_fixes_the_partition_count(any_brokers: Brokers) -> None:
    """Later starts take what is stored, and one that wants another count is refused with both numbers."""
    prefix = any_brokers.keys.prefix
    assert ensure_layout(any_brokers.state, prefix, 8) == 8
    assert ensure_layout(any_brokers.state, prefix, None) == 8
    assert ensure_layout(any_brokers.state, prefix, 8) == 8
    with pytest.raises(LayoutMismatchError, match=r"8 partitions, asked for are 16"):
        ensure_layout(any_brokers.state, prefix, 16)
    assert ensure_layout(any_brokers.state, prefix + "b", None) == DEFAULT_PARTITIONS


def test_a_key_of_something_else_is_no_layout(any_brokers: Brokers) -> None:
    call(any_brokers.state, "SET", any_brokers.keys.site("layout"), "many")
    with pytest.raises(LayoutMismatchError, match="prefix"):
        ensure_layout(any_brokers.state, any_brokers.keys.prefix, None)


def test_a_published_plan_has_a_rising_version(any_brokers: Brokers) -> None:
    """Every publication is a new version, and a reader gets payload and version together."""
    plans = PlanStore(any_brokers.state, any_brokers.keys.prefix)
    assert (plans.version(), plans.load()) == (0, None)
    assert plans.publish(b"one") == 1
    assert plans.publish(b"two") == 2
    assert (plans.version(), plans.load()) == (2, (2, b"two"))
