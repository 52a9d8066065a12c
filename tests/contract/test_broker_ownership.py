"""The protocol that makes events exactly-once: lease, fence, offset, one commit."""

from __future__ import annotations

import json

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.ownership import Commit, EventRecord, PartitionStore
from common.broker.results import ResultWriter
from common.errors import BrokerRefusedError, BrokerUnavailableError, FencedError, OffsetMovedError
from common.partition import Keys
from tests.brokers import Brokers
from tests.proxy import Proxy
from tests.waiting import until

P = 1


def event(number: int) -> EventRecord:
    """Make a small event."""
    return EventRecord(json.dumps({"n": number}).encode(), "violation.started", "cam", f"id{number}")


def logged(brokers: Brokers) -> list[bytes]:
    """List the ids in the event log."""
    return [fields[b"id"] for _, fields in call(brokers.state, "XRANGE", brokers.keys.events(P), "-", "+")]


def results(brokers: Brokers, *payloads: bytes) -> list[str]:
    """Append results and give the entry ids of all there are."""
    ResultWriter(brokers.state, brokers.keys).append_many([(P, payload) for payload in payloads])
    return [entry.decode() for entry, _ in call(brokers.state, "XRANGE", brokers.keys.results(P), "-", "+")]


def test_a_partition_has_one_owner_until_the_lease_ends(any_brokers: Brokers) -> None:
    """A second owner waits for expiry or release; every lease has a higher epoch."""
    one, two = any_brokers.store("one", 0.2), any_brokers.store("two", 5)
    first = one.acquire(P)
    assert first is not None
    assert two.acquire(P) is None
    assert one.owners()[P].owner == "one"
    second = until(lambda: two.acquire(P), 2)
    assert second is not None
    assert second.epoch > first.epoch
    assert not one.renew(first)
    assert not one.release(first)
    assert two.renew(second)
    assert 4 < two.owners()[P].left_s <= 5
    assert two.release(second)
    assert two.owners() == {}
    third = one.acquire(P)
    assert third is not None
    assert third.epoch > second.epoch


def test_an_epoch_is_never_issued_again_after_its_record_was_lost(any_brokers: Brokers) -> None:
    """A failover that forgets the newest lease cannot make an old epoch valid for someone else."""
    store = any_brokers.store("one")
    before = store.acquire(P)
    call(any_brokers.state, "DEL", any_brokers.keys.owner(P))
    after = until(lambda: store.acquire(P), 1)
    assert before is not None
    assert after is not None
    assert after.epoch >= before.epoch
    future = after.epoch + 10_000_000
    call(any_brokers.state, "HSET", any_brokers.keys.owner(P), "epoch", future)
    last = store.acquire(P)
    assert last is not None
    assert last.epoch == future + 1  # a clock that was set back does not lower it


def test_a_commit_is_found_by_the_next_owner(any_brokers: Brokers) -> None:
    """Offset, states and events of a step stand together; states of removed cameras are gone."""
    ids = results(any_brokers, b"r0", b"r1", b"r2")
    one = any_brokers.store("one")
    lease = one.acquire(P)
    assert lease is not None
    assert one.load(P).offset == "0-0"
    assert one.read({P: "0-0", 2: "0-0"}, 2, 1) == {P: [(ids[0], b"r0"), (ids[1], b"r1")], 2: []}
    one.commit(lease, Commit("0-0", ids[1], [event(1), event(2)], {"ä": b"\x00s", "b": b"s"}))
    one.commit(lease, Commit(ids[1], ids[2], [], {"c": b"s"}, ["b"]))
    one.release(lease)
    two = any_brokers.store("two")
    assert two.acquire(P) is not None
    state = two.load(P)
    assert (state.offset, state.cameras) == (ids[2], {"ä": b"\x00s", "c": b"s"})
    assert two.read({P: state.offset}, 10, 0) == {P: []}
    assert logged(any_brokers) == [b"id1", b"id2"]


def test_a_zombie_is_fenced_and_leaves_nothing_behind(any_brokers: Brokers) -> None:
    """An owner that slept through its lease cannot commit, whatever it believes."""
    (first, *_) = results(any_brokers, b"r0")
    zombie, heir = any_brokers.store("zombie", 0.05), any_brokers.store("heir")
    old = zombie.acquire(P)
    assert old is not None
    assert until(lambda: heir.acquire(P), 2)
    with pytest.raises(FencedError, match="partition 1"):
        zombie.commit(old, Commit("0-0", first, [event(1)], {"cam": b"s"}))
    assert heir.load(P).offset == "0-0"
    assert heir.load(P).cameras == {}
    assert logged(any_brokers) == []


def test_a_lease_that_ran_out_may_still_commit_while_nobody_took_it(any_brokers: Brokers) -> None:
    """The lease decides who tries; only the fence refuses."""
    (first, *_) = results(any_brokers, b"r0")
    store = any_brokers.store("slow", 0.02)
    lease = store.acquire(P)
    assert lease is not None
    until(lambda: store.owners() == {}, 2)
    store.commit(lease, Commit("0-0", first))
    assert store.load(P).offset == first


def test_a_commit_from_a_moved_offset_is_refused(any_brokers: Brokers) -> None:
    """A step that was already taken is not taken twice."""
    first, second = results(any_brokers, b"r0", b"r1")
    store = any_brokers.store("one")
    lease = store.acquire(P)
    assert lease is not None
    store.commit(lease, Commit("0-0", first, [event(1)]))
    with pytest.raises(OffsetMovedError, match=first):
        store.commit(lease, Commit("0-0", second, [event(1), event(2)]))
    assert logged(any_brokers) == [b"id1"]


def test_a_lost_commit_reply_is_settled_by_loading_again(brokers: Brokers, broker_pair: EmbeddedPair) -> None:
    """The commit had worked although its reply was lost; the owner sees that, and nothing is logged twice."""
    first, second = results(brokers, b"r0", b"r1")
    with Proxy(broker_pair.state.url) as proxy:
        store = PartitionStore(connect(proxy.url), connect(proxy.url, blocking_s=1), brokers.keys, "one")
        lease = store.acquire(P)
        assert lease is not None
        store.commit(lease, Commit("0-0", first, [event(1)]))
        proxy.lose_next_reply()
        with pytest.raises(BrokerUnavailableError) as caught:
            store.commit(lease, Commit(first, second, [event(2)]))
        assert caught.value.in_doubt
        again = store.acquire(P)
        assert again is not None
        assert again.epoch > lease.epoch
        assert store.load(P).offset == second
    assert logged(brokers) == [b"id1", b"id2"]


def test_unjudged_results_are_never_trimmed(any_brokers: Brokers) -> None:
    """A commit clears judged results that are old enough, and not one that comes after its offset."""
    ids = results(any_brokers, *[b"r%d" % number for number in range(300)])
    store = any_brokers.store("one")
    lease = store.acquire(P)
    assert lease is not None
    far_future = int(ids[-1].partition("-")[0]) + 10_000_000
    store.commit(lease, Commit("0-0", ids[249], trim_before_ms=far_future))
    kept = results(any_brokers)
    assert len(kept) < 300
    assert kept[-50:] == ids[250:]
    store.commit(lease, Commit(ids[249], ids[299], trim_before_ms=1000))
    assert results(any_brokers) == kept


def test_a_script_that_the_broker_forgot_is_loaded_again(private_broker: EmbeddedBroker) -> None:
    """A restarted broker knows no scripts; leases and commits go on."""
    client = connect(private_broker.url)
    store = PartitionStore(client, connect(private_broker.url, blocking_s=1), Keys("t", 2), "one")
    lease = store.acquire(P)
    assert lease is not None
    call(client, "SCRIPT FLUSH")
    store.commit(lease, Commit("0-0", "5-0"))
    assert store.load(P).offset == "5-0"


def test_b19_a_full_state_broker_still_grants_leases_and_commits(private_broker: EmbeddedBroker) -> None:
    """At the memory limit results are refused, while ownership and events go on."""
    client = connect(private_broker.url)
    keys = Keys("t", 2)
    writer = ResultWriter(client, keys)
    writer.append_many([(P, b"r0")])
    call(client, "CONFIG SET", "maxmemory", 1000)
    with pytest.raises(BrokerRefusedError) as caught:
        writer.append_many([(P, b"r1")])
    assert caught.value.code == "oom"
    store = PartitionStore(client, connect(private_broker.url, blocking_s=1), keys, "one")
    lease = store.acquire(P)
    assert lease is not None
    ((entry, _),) = store.read({P: "0-0"}, 10, 0)[P]
    store.commit(lease, Commit("0-0", entry, [event(1)], {"cam": b"s"}))
    assert store.renew(lease)
    assert store.load(P).cameras == {"cam": b"s"}
    assert call(client, "XLEN", keys.events(P)) == 1


def test_tallies_are_part_of_the_commit_and_old_ones_go(any_brokers: Brokers) -> None:
    """A fenced commit leaves no tally; those of more than six hours before what may be trimmed go with the next."""
    store, key = any_brokers.store("one"), any_brokers.keys.tallies(P)
    lease = store.acquire(P)
    assert lease is not None
    call(any_brokers.state, "XADD", key, "1000-0", "t", b"old")
    store.commit(lease, Commit("0-0", "5-0", tallies=[b"a", b"b"], trim_before_ms=7 * 3_600_000))
    again = store.acquire(P)
    assert again is not None
    with pytest.raises(FencedError):
        store.commit(lease, Commit("5-0", "6-0", tallies=[b"c"]))

    assert [fields[b"t"] for _, fields in call(any_brokers.state, "XRANGE", key, "-", "+")] == [b"a", b"b"]


def test_judged_results_can_go_to_the_last_one(any_brokers: Brokers) -> None:
    """Without exactness the broker keeps whole blocks, and the last judged one always stays."""
    store = any_brokers.store("one")
    lease = store.acquire(P)
    assert lease is not None
    entries = results(any_brokers, *[b"%d" % number for number in range(7)])
    milliseconds, _, number = entries[4].partition("-")
    behind = f"{milliseconds}-{int(number) + 1}"
    step = Commit("0-0", entries[4], trim_before_ms=int(milliseconds) + 1000, trim_exactly=True, read_to=behind)
    store.commit(lease, step)

    assert results(any_brokers)[:2] == entries[5:]
