"""A real cluster of three nodes, one of which is killed: what lives at the others is read, written and judged on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.crc import key_slot

from common.broker.client import Client, call, call_many, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.fitness import probe
from common.broker.frames.janitor import Janitor
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.lag import broker_now_ms
from common.broker.layout import ensure_layout
from common.broker.ownership import Commit, PartitionStore
from common.broker.plans import PlanStore
from common.broker.reading import entries_of, read_present, read_streams
from common.broker.results import DeadLetters, ResultWriter
from common.broker.vitals import VitalSigns
from common.errors import BrokerUnavailableError, of_one_node
from common.lifecycle import StopSignal
from common.partition import Keys
from common.schema import Outcome
from common.settings import ServiceSettings
from common.siteplan import SitePlan
from common.subscriber import Event, Subscriber, Subscription
from maskwatch.status.situation import survey
from maskwatch.status.troubles import troubles
from tests.brokers import Brokers, fresh_keys
from tests.event_writing import EventWriter
from tests.infer_site import Site, wait_finished
from tests.topologies import SLOTS, cluster_node, form_cluster, port_of
from tests.waiting import until
from workers.judge.holding import Holding
from workers.judge.limits import Limits
from workers.judge.loop import JudgeLoop, Surroundings
from workers.judge.metrics import JudgeMetrics
from workers.judge.plans import Plans
from workers.judge.seats import Seat, seat_keys
from workers.judge.settings import JudgeSettings

MIB = 1 << 20
PARTITIONS = 8


class Cluster:
    """Three primaries without replicas, of which the first, with the lowest slots, can be killed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        # A node that is killed while it waits for its disk may lose what it said was written: here nothing may be.
        settings = ("cluster-require-full-coverage no", "cluster-node-timeout 2000", "appendfsync always")
        self.nodes: list[EmbeddedBroker] = []
        for number in range(3):
            node = cluster_node(folder, f"node{number}", *settings)
            node.password = "cluster-password"
            self.nodes.append(stack.enter_context(node))
        form_cluster(self.nodes, [connect(node.url) for node in self.nodes])
        addresses = ",".join(f"127.0.0.1:{port_of(node)}" for node in self.nodes)
        self.url = f"redis+cluster://:cluster-password@{addresses}"

    @property
    def victim(self) -> str:
        """Name of the node that is killed, as errors give it."""
        return f"127.0.0.1:{port_of(self.nodes[0])}"

    def kill(self) -> None:
        self.nodes[0].kill()

    def revive(self) -> None:
        if not self.nodes[0].alive():
            self.nodes[0].start()
        until(self._whole, 20)

    def _whole(self) -> bool:
        return all(call(connect(node.url), "CLUSTER INFO")["cluster_state"] == "ok" for node in self.nodes)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


@pytest.fixture
def keys() -> Keys:
    return fresh_keys(PARTITIONS)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    """A client from before the loss; the cluster is whole again afterwards."""
    client = connect(cluster.url)
    yield client
    client.close()
    cluster.revive()


def lost(keys: Keys) -> set[int]:
    """Give the partitions of the node that is killed."""
    found = {n for n in range(keys.partitions) if key_slot(keys.owner(n).encode()) < SLOTS // 3}
    assert 0 < len(found) < keys.partitions
    return found


def test_an_error_names_the_node_and_the_others_are_asked_on(cluster: Cluster, client: Client, keys: Keys) -> None:
    gone = lost(keys)
    cluster.kill()
    for number in range(keys.partitions):
        if number in gone:
            with pytest.raises(BrokerUnavailableError) as caught:
                call(client, "SET", keys.owner(number), "x")
            assert caught.value.node == cluster.victim
            assert of_one_node(caught.value)
        else:
            assert call(client, "SET", keys.owner(number), "x")
    assert broker_now_ms(client) > 0, "the clock is asked of a node that answers"
    answers = call_many(client, [("GET", keys.owner(number)) for number in range(keys.partitions)])
    assert [isinstance(answer, BrokerUnavailableError) for answer in answers] == [
        number in gone for number in range(keys.partitions)
    ]
    answers = call_many(client, [("GET", keys.owner(number)) for number in gone])
    assert all(of_one_node(answer) for answer in answers)


def test_a_node_that_is_back_is_asked_again(cluster: Cluster, client: Client, keys: Keys) -> None:
    number = min(lost(keys))
    cluster.kill()
    with pytest.raises(BrokerUnavailableError):
        call(client, "SET", keys.owner(number), "x")
    cluster.revive()

    def written() -> bool:
        try:
            return bool(call(client, "SET", keys.owner(number), "x"))
        except BrokerUnavailableError:
            return False

    until(written, 10)
    assert client.absences.present([cluster.victim]) == [cluster.victim]  # type: ignore[union-attr]


def test_a_process_can_start_while_the_node_with_the_lowest_slots_is_away(
    cluster: Cluster, client: Client, keys: Keys
) -> None:
    gone = lost(keys)
    cluster.kill()
    late = connect(cluster.url)
    warnings = probe(late, "state").warnings
    assert any(cluster.victim in words for words in warnings)
    alive = next(number for number in range(keys.partitions) if number not in gone)
    store = PartitionStore(late, connect(cluster.url, blocking_s=1), keys, "late")
    assert store.acquire(alive) is not None
    assert store.owners().keys() == {alive}
    with pytest.raises(BrokerUnavailableError):
        store.acquire(min(gone))
    assert client is not late


def test_partitions_of_the_other_nodes_are_read_and_committed(cluster: Cluster, client: Client, keys: Keys) -> None:
    gone, numbers = lost(keys), range(keys.partitions)
    store = PartitionStore(client, connect(cluster.url, blocking_s=1), keys, "one")
    leases = {number: store.acquire(number) for number in numbers}
    writer = ResultWriter(client, keys)
    assert writer.append_present([(number, b"r") for number in numbers]) == {}
    cluster.kill()
    assert writer.append_present([(number, b"s") for number in numbers]).keys() == gone
    assert writer.append_present([(number, b"s") for number in gone]).keys() == gone
    with pytest.raises(BrokerUnavailableError):
        writer.append_many([(number, b"s") for number in gone])
    assert store.clocks(numbers).keys() == set(numbers) - gone
    found = store.read(dict.fromkeys(numbers, "0-0"), 10, 0.5)
    assert found.keys() == set(numbers) - gone
    assert store.owners().keys() == set(numbers) - gone
    for number, entries in found.items():
        assert [payload for _, payload in entries] == [b"r", b"s"]
        lease = leases[number]
        assert lease is not None
        assert store.renew(lease)
        store.commit(lease, Commit("0-0", entries[-1][0]))
    with pytest.raises(BrokerUnavailableError):
        DeadLetters(client, keys).add(min(gone), {"reason": "x"})
    ids = {keys.results(number): "0-0" for number in numbers}
    with pytest.raises(BrokerUnavailableError):
        read_streams(client, client, ("XREAD", "COUNT", 1), ids, 0)


def test_waiting_for_a_node_that_is_away_takes_its_time(cluster: Cluster, client: Client, keys: Keys) -> None:
    """A loop that reads it again and again must not spin."""
    cluster.kill()
    blocking = connect(cluster.url, blocking_s=1)
    began = time.monotonic()
    found = read_present(client, blocking, ("XREAD", "COUNT", 1), {keys.results(min(lost(keys))): "0-0"}, 0.4)
    assert not found.entries
    assert found.lost
    assert time.monotonic() - began >= 0.4


def test_cameras_of_the_other_nodes_are_looked_at(cluster: Cluster, client: Client, keys: Keys) -> None:
    gone = lost(keys)
    cameras = [f"cam{number}" for number in range(24)]
    away = {name for name in cameras if keys.partition_of(name) in gone}
    writer = FrameWriter(client, keys)
    reader = FrameReader(client, connect(cluster.url, blocking_s=1), keys, "w")
    reader.set_cameras(cameras)
    for camera in cameras:
        writer.append(camera, b"0", b"x", 10)
    first = [entry for _ in range(4) for entry in reader.read(4, 24, MIB, 0.2)]
    assert len(first) == 24
    cluster.kill()
    for camera in set(cameras) - away:
        writer.append(camera, b"1", b"x", 10)
    second = [entry for _ in range(4) for entry in reader.read(4, 24, MIB, 0.2)]
    assert {entry.camera for entry in second} == set(cameras) - away
    reader.keepalive([*first, *second])
    assert reader.ack([*first, *second]) == 2 * (24 - len(away))
    assert reader.reclaim(0.001, 10) == []
    assert Janitor(client, keys).trim(cameras, 0.001).keys() == set(cameras) - away
    lag = reader.backlog()
    assert {name for name, seconds in lag.items() if math.isnan(seconds)} == away
    cluster.revive()
    until(lambda: _acknowledged(reader) == len(away), 10)
    for camera in away:
        writer.append(camera, b"2", b"x", 10)
    third = until(lambda: reader.read(4, 24, MIB, 0.2), 10)
    third += [entry for _ in range(4) for entry in reader.read(4, 24, MIB, 0.2)]
    assert {(entry.camera, entry.header, entry.deliveries) for entry in third} == {(name, b"2", 1) for name in away}


def _acknowledged(reader: FrameReader) -> int:
    """Send again what could not be acknowledged; gives how many the broker took, which is all at once or none."""
    return reader.ack([])


def test_cameras_of_a_resting_partition_stay_with_the_broker(cluster: Cluster, client: Client, keys: Keys) -> None:
    cameras = [f"cam{number}" for number in range(8)]
    resting = keys.partition_of(cameras[0])
    writer = FrameWriter(client, keys)
    reader = FrameReader(client, connect(cluster.url, blocking_s=1), keys, "w")
    reader.set_cameras(cameras)
    reader.resting = frozenset({resting})
    for camera in cameras:
        writer.append(camera, b"0", b"x", 10)
    found = [entry for _ in range(4) for entry in reader.read(4, 8, MIB, 0)]
    assert {entry.camera for entry in found} == {name for name in cameras if keys.partition_of(name) != resting}
    began, busy = time.monotonic(), time.thread_time()
    assert reader.read(4, 8, MIB, 0.6) == []
    assert time.monotonic() - began >= 0.6
    assert time.thread_time() - busy < 0.3, "it asks again and again while it waits"
    reader.resting = frozenset()
    rest = [entry for _ in range(4) for entry in reader.read(4, 8, MIB, 0)]
    assert {(entry.camera, entry.deliveries) for entry in rest} == {
        (name, 1) for name in cameras if keys.partition_of(name) == resting
    }


def test_a_judge_whose_seat_is_lost_takes_another(cluster: Cluster, client: Client, keys: Keys) -> None:
    seats = seat_keys(keys)
    low = next(n for n in range(seats.partitions) if key_slot(seats.owner(n).encode()) < SLOTS // 3)
    stores = [PartitionStore(client, client, seats, name) for name in ("ana", "ben")]
    for number in range(low):
        assert stores[1].acquire(number) is not None  # so that the first free seat is at the node that is killed
    seat, other = Seat(stores[0], "ana"), Seat(stores[1], "ben")
    seat.keep()
    assert stores[1].owners()[low].owner == "ana"
    other.keep()
    cluster.kill()
    seat.keep()
    assert {"ana", "ben"} <= set(other.keep())
    seat.leave()


def test_a_subscriber_gets_the_events_of_the_other_nodes_and_later_those_of_the_lost_one(
    cluster: Cluster, client: Client, keys: Keys
) -> None:
    gone = lost(keys)
    cameras = [f"cam{number}" for number in range(24)]
    there = next(name for name in cameras if keys.partition_of(name) in gone)
    here = next(name for name in cameras if keys.partition_of(name) not in gone)
    ensure_layout(client, keys.prefix, keys.partitions)
    writer = EventWriter(client, keys)
    with Subscriber.connect(Subscription(start="0"), cluster.url, prefix=keys.prefix) as subscriber:
        made = [*writer.write(there), *writer.write(here)]
        assert {_next_id(subscriber), _next_id(subscriber)} == set(made)
        late = writer.write(there)
        cluster.kill()
        assert [*writer.write(here), *writer.write(here)] == [_next_id(subscriber), _next_id(subscriber)]
        assert subscriber.receive(0.5) is None
        assert not subscriber.caught_up
        cluster.revive()
        assert _next_id(subscriber) == late[0]
        assert writer.write(here)[0] == _next_id(subscriber)


def test_status_names_the_node_and_goes_on_with_the_rest(
    cluster: Cluster, client: Client, keys: Keys, broker_pair: EmbeddedPair
) -> None:
    ensure_layout(client, keys.prefix, keys.partitions)
    PlanStore(client, keys.prefix).publish(SitePlan(site="office").to_bytes())
    ResultWriter(client, keys).append_many([(number, b"r") for number in range(keys.partitions)])
    settings = ServiceSettings(frames_url=broker_pair.frames.url, state_url=cluster.url, prefix=keys.prefix)
    cluster.kill()
    now = survey(settings)
    assert cluster.victim in now.brokers["state"].trouble
    assert now.unjudged_s.keys() == set(range(keys.partitions)) - lost(keys)
    found = {one.alert: one.words for one in troubles(now)}
    assert cluster.victim in found["BrokerDown"]
    assert not now.brokers["frames"].trouble


def _next_id(subscriber: Subscriber) -> str:
    item = until(lambda: subscriber.receive(0.5), 10)
    assert isinstance(item, Event)
    return item.id


def test_a_judge_goes_on_with_the_partitions_of_the_other_nodes(cluster: Cluster, client: Client, keys: Keys) -> None:
    gone, numbers = lost(keys), set(range(keys.partitions))
    PlanStore(client, keys.prefix).publish(SitePlan(site="office").to_bytes())
    writer, store = ResultWriter(client, keys), PartitionStore(client, client, keys, "x")

    def judged(partitions: set[int], above: int) -> bool:
        """Say whether so many entries of each were judged; foreign ones are passed over, and move the offset too."""
        newest = (entries_of(call(client, "XRANGE", keys.results(n), "-", "+"))[above - 1][0] for n in partitions)
        return all(store.load(n).offset >= last for n, last in zip(partitions, newest, strict=True))

    with judge_at_work(cluster, keys) as judge:
        writer.append_many([(number, b"foreign") for number in numbers])
        until(lambda: judged(numbers, 1), 10)
        cluster.kill()
        writer.append_present([(number, b"foreign") for number in numbers])
        until(lambda: judged(numbers - gone, 2), 3)
        until(lambda: cluster.victim in judge.trouble, 5)
        cluster.revive()
        writer.append_many([(number, b"foreign") for number in gone])
        until(lambda: judged(numbers, 2), 10)
        until(lambda: not judge.trouble, 5)
        assert store.owners().keys() == numbers


@contextmanager
def judge_at_work(cluster: Cluster, keys: Keys) -> Iterator[JudgeLoop]:
    client, blocking = connect(cluster.url), connect(cluster.url, blocking_s=1)
    metrics, stop = JudgeMetrics(CollectorRegistry()), StopSignal()
    store = PartitionStore(client, blocking, keys, "judge")
    seat = Seat(PartitionStore(client, blocking, seat_keys(keys), "judge"), "judge")
    plans = Plans(PlanStore(client, keys.prefix), Limits(), "host")
    around = Surroundings(store, DeadLetters(client, keys), plans, metrics, VitalSigns(client, "state", metrics.broker))
    loop = JudgeLoop(around, Holding(store, seat, "judge", keys.partitions, 0.5), JudgeSettings())
    thread = threading.Thread(target=loop.run, args=(stop, 5.0), daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_an_infer_worker_goes_on_with_cameras_of_the_other_nodes(
    cluster: Cluster, client: Client, brokers: Brokers, broker_pair: EmbeddedPair, tmp_path: Path
) -> None:
    """Frames of the lost partitions are read no further, wait in hand, and end in one result each."""
    state = replace(brokers, state=client, state_blocking=client, keys=fresh_keys(PARTITIONS))
    site, gone = Site(state, broker_pair, tmp_path), lost(state.keys)
    cameras = [f"cam{number}" for number in range(24)]
    there = next(name for name in cameras if state.keys.partition_of(name) in gone)
    here = next(name for name in cameras if state.keys.partition_of(name) not in gone)
    site.plan(here, there)
    connection = site.connection().model_copy(update={"state_url": cluster.url})
    with site.worker(connection) as running:
        site.publish(here)
        site.publish(there)
        wait_finished(site, here, there)
        cluster.kill()
        site.publish(there)
        until(lambda: site.pending(there) == 1, 10)
        for _ in range(3):
            site.publish(here)
        site.mark(here)
        wait_finished(site, here)
        until(lambda: len(site.messages(here)) == 5, 5)
        until(lambda: not site.pending(here), 5)
        for _ in range(3):
            site.publish(there)
            site.publish(here)
            wait_finished(site, here)
        assert site.pending(there) == 1, "a camera whose results cannot be written is read on"
        cluster.revive()
        wait_finished(site, here, there)
        until(lambda: not site.pending(there), 5)
    assert (running.status, running.error) == (0, None)
    assert [one.seq for one in site.results(there)] == list(range(5))
    assert {one.outcome for one in site.results(there)} == {Outcome.OK}
