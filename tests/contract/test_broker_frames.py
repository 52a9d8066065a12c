"""Frame streams: what a worker gets, in which measure, and what becomes of frames whose worker or broker failed."""

from __future__ import annotations

import hashlib
import math
import threading
import time

import pytest

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.frames.entries import FrameEntry
from common.broker.frames.janitor import Janitor
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.results import DeadLetters
from common.errors import BrokerRefusedError, BrokerUnavailableError
from common.partition import Keys
from tests.brokers import Brokers, fresh_keys
from tests.proxy import Proxy
from tests.waiting import soon, until

MIB = 1 << 20


def fill(brokers: Brokers, camera: str, count: int, maxlen: int = 100, size: int = 1000) -> list[str]:
    """Write numbered frames of a camera and give their ids."""
    writer = brokers.writer()
    return [writer.append(camera, b"%d" % number, bytes(size), maxlen) for number in range(count)]


def headers(entries: list[FrameEntry]) -> list[tuple[str, bytes | None]]:
    """Say which frames these are."""
    return [(entry.camera, entry.header) for entry in entries]


def test_a_frame_arrives_as_it_was_written(any_brokers: Brokers) -> None:
    """Header and picture come back byte for byte, the camera from the key, and a mark has no picture."""
    writer = any_brokers.writer()
    first = writer.append("gate 7/ä", b'{"seq":0}', b"\xff\xd8picture", 10)
    second = writer.append("gate 7/ä", b'{"kind":"mark"}', None, 10)
    reader = any_brokers.reader("w", "gate 7/ä", "other")
    entries = reader.read(10, 10, MIB, 0)
    partition = any_brokers.keys.partition_of("gate 7/ä")
    assert entries == [
        FrameEntry("gate 7/ä", partition, first, b'{"seq":0}', b"\xff\xd8picture", 1),
        FrameEntry("gate 7/ä", partition, second, b'{"kind":"mark"}', None, 1),
    ]
    assert entries[0].entry_ms == pytest.approx(time.time() * 1000, abs=5000)
    assert reader.ack(entries) == 2
    assert reader.read(10, 10, MIB, 0) == []


def test_two_workers_share_a_camera_without_overlap(any_brokers: Brokers) -> None:
    """Each frame goes to one worker."""
    fill(any_brokers, "cam", 6)
    one, two = any_brokers.reader("one", "cam"), any_brokers.reader("two", "cam")
    found = headers(one.read(2, 2, MIB, 0)) + headers(two.read(2, 2, MIB, 0)) + headers(one.read(9, 9, MIB, 0))
    assert found == [("cam", b"%d" % number) for number in range(6)]


def test_a_read_waits_for_the_first_frame(any_brokers: Brokers) -> None:
    """A waiting reader wakes when any of its cameras sends, long before its time is over."""
    reader = any_brokers.reader("w", "a", "b")
    assert reader.read(1, 1, MIB, 0) == []
    started = time.monotonic()
    with soon(lambda: fill(any_brokers, "b", 1)):
        assert headers(reader.read(4, 4, MIB, 2.0)) == [("b", b"0")]
    assert time.monotonic() - started < 1.5


def test_b04_frames_of_a_lost_reply_are_read_again(brokers: Brokers, broker_pair: EmbeddedPair) -> None:
    """Frames whose delivery was cut off come with the next read; those in work come not again, nor count anew."""
    fill(brokers, "cam", 4)
    with Proxy(broker_pair.frames.url) as proxy:
        client = connect(proxy.url)
        reader = FrameReader(client, connect(proxy.url, blocking_s=1), brokers.keys, "w")
        reader.set_cameras(["cam"])
        in_work = reader.read(1, 1, MIB, 0)
        proxy.lose_next_reply()
        with pytest.raises(BrokerUnavailableError):
            reader.read(2, 2, MIB, 0)
        again = reader.read(5, 5, MIB, 0)
        rest = reader.read(5, 5, MIB, 0)
    assert headers(in_work) == [("cam", b"0")]
    assert [(entry.header, entry.deliveries) for entry in again] == [(b"1", 1), (b"2", 1)]
    assert headers(rest) == [("cam", b"3")]
    pending = call(brokers.frames, "XPENDING", brokers.keys.frames("cam"), "infer", "-", "+", 10)
    assert [item["times_delivered"] for item in pending] == [1, 1, 1, 1]


def test_b04_a_restarted_worker_takes_up_what_it_had_and_counts_it(any_brokers: Brokers) -> None:
    """What a dead process of the same name had in work comes back to it, one delivery more."""
    fill(any_brokers, "cam", 2)
    any_brokers.reader("host-0", "cam").read(2, 2, MIB, 0)
    entries = any_brokers.reader("host-0", "cam").read(2, 2, MIB, 0)
    assert [(entry.header, entry.deliveries) for entry in entries] == [(b"0", 2), (b"1", 2)]


def test_b05_entries_of_which_only_the_id_is_left_are_trimmed_not_malformed(any_brokers: Brokers) -> None:
    """Frames trimmed while a dead worker held them are counted and leave the pending list."""
    fill(any_brokers, "cam", 3)
    any_brokers.reader("host-0", "cam").read(3, 3, MIB, 0)
    call(any_brokers.frames, "XTRIM", any_brokers.keys.frames("cam"), "MAXLEN", 1)
    reader = any_brokers.reader("host-0", "cam")
    entries = reader.read(3, 3, MIB, 0)
    assert headers(entries) == [("cam", b"2")]
    assert reader.take_trimmed() == {"cam": 2}
    assert reader.take_trimmed() == {}
    reader.ack(entries)
    assert call(any_brokers.frames, "XPENDING", any_brokers.keys.frames("cam"), "infer")["pending"] == 0


def test_b08_frames_trimmed_while_pending_are_counted_on_reclaim(any_brokers: Brokers) -> None:
    """MAXLEN cuts what a dead worker held; the one that takes over learns how many."""
    fill(any_brokers, "cam", 6)
    any_brokers.reader("dead", "cam").read(6, 6, MIB, 0)
    call(any_brokers.frames, "XTRIM", any_brokers.keys.frames("cam"), "MAXLEN", 2)
    reader = any_brokers.reader("alive", "cam")
    entries = until(lambda: reader.reclaim(0.02, 10), 2)
    assert headers(entries) == [("cam", b"4"), ("cam", b"5")]
    assert reader.take_trimmed() == {"cam": 4}


def test_b09_maxlen_is_exact_for_frames_and_marks(any_brokers: Brokers) -> None:
    """A camera's stream never holds more than it may, however small its entries."""
    fill(any_brokers, "cam", 30, maxlen=7, size=10)
    assert call(any_brokers.frames, "XLEN", any_brokers.keys.frames("cam")) == 7


def test_b10_the_janitor_empties_the_stream_of_a_camera_that_stopped(any_brokers: Brokers) -> None:
    """Old frames go without another write; young ones and unknown cameras are left alone."""
    fill(any_brokers, "cam", 5)
    janitor = Janitor(any_brokers.frames, any_brokers.keys)
    assert janitor.trim(["cam", "never seen"], 60) == {}
    assert until(lambda: janitor.trim(["cam", "never seen"], 0.02), 2) == {"cam": 5}
    assert call(any_brokers.frames, "XLEN", any_brokers.keys.frames("cam")) == 0
    assert call(any_brokers.frames, "EXISTS", any_brokers.keys.frames("never seen")) == 0


def test_b11_keepalive_keeps_frames_and_their_counter(any_brokers: Brokers) -> None:
    """Frames in work that are kept alive are nobody else's, and are still delivered once."""
    fill(any_brokers, "cam", 2)
    busy, idle = any_brokers.reader("busy", "cam"), any_brokers.reader("idle", "cam")
    entries = busy.read(2, 2, MIB, 0)
    pause = threading.Event()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        busy.keepalive(entries)
        assert idle.reclaim(0.7, 10) == []
        pause.wait(0.05)
    found = until(lambda: idle.reclaim(0.7, 10), 5)
    assert [entry.deliveries for entry in found] == [2, 2]


def test_b12_each_reclaim_counts_a_delivery(any_brokers: Brokers) -> None:
    """A frame that kills its workers is recognised by its counter; its dead letter holds no pixels."""
    fill(any_brokers, "cam", 1)
    any_brokers.reader("w0", "cam").read(1, 1, MIB, 0)
    for number in (2, 3):
        reader = any_brokers.reader(f"w{number}", "cam")
        (entry,) = until(lambda: reader.reclaim(0.01, 10), 2)  # noqa: B023
        assert entry.deliveries == number
    assert isinstance(entry.jpeg, bytes)
    letters = DeadLetters(any_brokers.state, any_brokers.keys)
    letters.add(entry.partition, {"id": entry.entry_id, "sha256": hashlib.sha256(entry.jpeg).hexdigest()})
    with pytest.raises(ValueError, match="pixels"):
        letters.add(entry.partition, {"frame": b"\xff\xd8\xff"})
    kept = call(any_brokers.state, "XRANGE", any_brokers.keys.dead_letters(entry.partition), "-", "+")
    assert [sorted(fields) for _, fields in kept] == [[b"id", b"sha256"]]
    assert reader.ack([entry]) == 1


def test_reclaim_takes_no_more_than_asked(any_brokers: Brokers) -> None:
    """Two workers can share what a third left behind."""
    for camera in ("a", "b", "c"):
        fill(any_brokers, camera, 3)
    any_brokers.reader("dead", "a", "b", "c").read(3, 9, MIB, 0)
    one, two = any_brokers.reader("one", "a", "b", "c"), any_brokers.reader("two", "a", "b", "c")
    first = until(lambda: one.reclaim(0.7, 4), 5)
    second = two.reclaim(0.7, 9)
    assert (len(first), len(second)) == (4, 5)
    assert {entry.deliveries for entry in first + second} == {2}


def test_b14_a_worker_that_ends_hands_its_frames_over_at_once(any_brokers: Brokers) -> None:
    """Frames handed over need no idle time, count one delivery for the heir, and those read ahead go along."""
    fill(any_brokers, "cam", 4)
    leaving, staying = any_brokers.reader("leaving", "cam"), any_brokers.reader("staying", "cam")
    entries = leaving.read(2, 2, MIB, 0)
    assert staying.reclaim(10, 10) == []
    leaving.hand_over(entries)
    assert [(entry.header, entry.deliveries) for entry in staying.reclaim(10, 10)] == [(b"0", 2), (b"1", 2)]


@pytest.mark.parametrize("heir_comes", ["before", "after"])
def test_a_late_keepalive_takes_nothing_back_that_was_handed_over(any_brokers: Brokers, heir_comes: str) -> None:
    """The keeper's thread may be one step behind: it neither hides frames from the heir nor takes them from it."""
    fill(any_brokers, "cam", 2)
    leaving, heir = any_brokers.reader("leaving", "cam"), any_brokers.reader("heir", "cam")
    entries = leaving.read(2, 2, MIB, 0)
    leaving.hand_over(entries)
    found = heir.reclaim(10, 10) if heir_comes == "before" else []
    leaving.keepalive(entries)
    found = found or heir.reclaim(10, 10)
    assert [entry.header for entry in found] == [b"0", b"1"]
    holders = call(any_brokers.frames, "XPENDING", any_brokers.keys.frames("cam"), "infer")["consumers"]
    assert [holder["name"] for holder in holders] == [b"heir"]


def test_b15_a_lost_group_is_made_again_and_loses_no_frame(private_broker: EmbeddedBroker) -> None:
    """After FLUSHALL reading goes on from the oldest frame there is, the loss is counted, and no hot loop arises."""
    client = connect(private_broker.url)
    keys = fresh_keys()
    reader = FrameReader(client, connect(private_broker.url, blocking_s=1), keys, "w")
    reader.set_cameras(["a", "b"])
    writer = FrameWriter(client, keys)
    assert reader.read(1, 4, MIB, 0) == []
    before = writer.append("a", b"before", b"x", 9)
    entries = reader.read(1, 4, MIB, 0)
    call(client, "FLUSHALL")
    assert [entry.entry_id for entry in entries] == [before]
    assert reader.ack(entries) == 0  # the broker says nothing: fewer than given is the only sign
    writer.append("a", b"after", b"x", 9)
    started = time.monotonic()
    found = until(lambda: reader.read(1, 4, MIB, 0.05), 5)
    assert headers(found) == [("a", b"after")]
    assert reader.groups_recreated == 1
    call(client, "FLUSHALL")
    writer.append("b", b"again", b"x", 9)
    found = until(lambda: reader.read(1, 4, MIB, 0.05), 5)
    assert headers(found) == [("b", b"again")]
    assert reader.groups_recreated == 2
    assert time.monotonic() - started > 0.9  # the second time it waited before it tried


def test_b15_a_waiting_reader_survives_the_loss_of_its_groups(private_broker: EmbeddedBroker) -> None:
    """Blocked readers wake with an error from the broker; for the caller it is an empty read."""
    client = connect(private_broker.url)
    keys = fresh_keys()
    reader = FrameReader(client, connect(private_broker.url, blocking_s=2), keys, "w")
    reader.set_cameras(["a"])
    assert reader.read(1, 4, MIB, 0) == []
    with soon(lambda: call(client, "FLUSHALL")):
        assert reader.read(1, 4, MIB, 2) == []
    FrameWriter(client, keys).append("a", b"0", b"x", 9)
    assert headers(until(lambda: reader.read(1, 4, MIB, 0.05), 5)) == [("a", b"0")]


def test_b16_lag_is_told_in_seconds_and_unknown_is_not_zero(any_brokers: Brokers) -> None:
    """Unread frames show as time, trimmed ones do not stay for ever, and a broker that cannot tell gives NaN."""
    reader = any_brokers.reader("w", "cam", "idle", "no group yet")
    assert reader.backlog()["no group yet"] != reader.backlog()["no group yet"]
    reader.read(1, 1, MIB, 0)
    assert reader.backlog() == {"cam": 0.0, "idle": 0.0, "no group yet": 0.0}
    ids = fill(any_brokers, "cam", 10)
    assert until(lambda: reader.backlog()["cam"] > 0.05, 2)
    reader.ack(reader.read(5, 5, MIB, 0))
    call(any_brokers.frames, "XDEL", any_brokers.keys.frames("cam"), ids[7])
    assert 0 < reader.backlog()["cam"] < 5
    call(any_brokers.frames, "XTRIM", any_brokers.keys.frames("cam"), "MAXLEN", 0)
    assert reader.backlog() == {"cam": 0.0, "idle": 0.0, "no group yet": 0.0}
    call(any_brokers.frames, "DEL", any_brokers.keys.frames("idle"))
    assert math.isnan(reader.backlog()["idle"])


def test_b17_one_read_takes_a_fair_share_and_keeps_its_limits(any_brokers: Brokers) -> None:
    """COUNT is per stream on the broker; a read keeps its limits over all cameras, and each gets its turn."""
    cameras = [f"c{number:02d}" for number in range(20)]
    for camera in cameras:
        fill(any_brokers, camera, 3)
    reader = any_brokers.reader("w", *cameras)
    seen: list[str] = []
    for _ in range(5):
        batch = reader.read(1, 4, MIB, 0)
        assert len(batch) == 4
        seen += [entry.camera for entry in batch]
    assert sorted(seen) == cameras
    batch = reader.read(3, 100, 2500, 0)
    assert len(batch) == 2  # of 1001 bytes each
    assert len(reader.read(3, 100, 1, 0)) == 1
    left = 60 - 20 - 3
    assert len([entry for _ in range(30) for entry in reader.read(3, 10, MIB, 0)]) == left


def test_cameras_may_come_and_go_while_reading(any_brokers: Brokers) -> None:
    """A camera added later is read from its oldest frame; one removed is left alone, its frames in hand stay valid."""
    fill(any_brokers, "old", 2)
    fill(any_brokers, "new", 1)
    reader = any_brokers.reader("w", "old")
    entries = reader.read(1, 1, MIB, 0)
    reader.set_cameras(["new"])
    assert headers(reader.read(9, 9, MIB, 0)) == [("new", b"0")]
    assert reader.ack(entries) == 1


def test_an_acknowledgement_that_failed_is_sent_again(brokers: Brokers, broker_pair: EmbeddedPair) -> None:
    """Frames done with are not worked on twice because a reply was lost."""
    fill(brokers, "cam", 2)
    with Proxy(broker_pair.frames.url) as proxy:
        reader = FrameReader(connect(proxy.url), connect(proxy.url, blocking_s=1), brokers.keys, "w")
        reader.set_cameras(["cam"])
        entries = reader.read(2, 2, MIB, 0)
        proxy.lose_next_reply()
        with pytest.raises(BrokerUnavailableError):
            reader.ack(entries)
        assert reader.read(2, 2, MIB, 0) == []
        reader.ack([])
    assert call(brokers.frames, "XPENDING", brokers.keys.frames("cam"), "infer")["pending"] == 0


def test_b19_a_full_frames_broker_refuses_frames_and_still_gives_them_out(private_broker: EmbeddedBroker) -> None:
    """At the memory limit writing is a definite no, reading and acknowledging work, and the janitor makes room."""
    client = connect(private_broker.url)
    keys = Keys("t", 1)
    writer = FrameWriter(client, keys)
    reader = FrameReader(client, connect(private_broker.url, blocking_s=1), keys, "w")
    reader.set_cameras(["cam", "late"])
    writer.append("cam", b"0", bytes(200_000), 100)
    assert len(reader.read(1, 1, MIB, 0)) == 1
    writer.append("cam", b"1", bytes(200_000), 100)
    call(client, "CONFIG SET", "maxmemory", call(client, "INFO", "memory")["used_memory"] - 50_000)
    with pytest.raises(BrokerRefusedError) as caught:
        writer.append("cam", b"2", bytes(200_000), 1)
    assert caught.value.code == "oom"
    assert reader.ack(reader.read(1, 1, MIB, 0)) == 1
    janitor = Janitor(client, keys)
    until(lambda: janitor.trim(["cam"], 0.01) is not None and call(client, "XLEN", keys.frames("cam")) == 0, 2)
    assert writer.append("cam", b"2", bytes(20_000), 1)


def test_b19_a_new_camera_on_a_full_broker_does_not_stop_the_others(private_broker: EmbeddedBroker) -> None:
    """Its group cannot be made; the cameras that have theirs are read on, and the reason is raised where none has."""
    client = connect(private_broker.url)
    keys = Keys("t", 1)
    reader = FrameReader(client, connect(private_broker.url, blocking_s=1), keys, "w")
    reader.set_cameras(["old"])
    assert reader.read(1, 1, MIB, 0) == []
    FrameWriter(client, keys).append("old", b"0", b"x", 10)
    call(client, "CONFIG SET", "maxmemory", 1000)
    reader.set_cameras(["new", "old"])
    assert headers(reader.read(1, 1, MIB, 0)) == [("old", b"0")]
    reader.set_cameras(["new"])
    with pytest.raises(BrokerRefusedError) as caught:
        reader.read(1, 1, MIB, 0)
    assert caught.value.code == "oom"
    call(client, "CONFIG SET", "maxmemory", 0)
    FrameWriter(client, keys).append("new", b"0", b"x", 10)
    assert headers(until(lambda: read_or_nothing(reader), 5)) == [("new", b"0")]


def read_or_nothing(reader: FrameReader) -> list[FrameEntry]:
    """Read, where a refusal counts as nothing."""
    try:
        return reader.read(1, 1, MIB, 0.05)
    except BrokerRefusedError:
        return []
