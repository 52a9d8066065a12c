"""A real cluster of three nodes: every partition stays in one slot, and readers and judges work across nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.crc import key_slot

from common.broker.client import connect
from common.broker.embedded.serverprocess import free_port
from common.broker.events.log import EventLog
from common.broker.fitness import probe
from common.broker.frames.janitor import Janitor
from common.broker.frames.reader import FrameReader
from common.broker.frames.writer import FrameWriter
from common.broker.layout import ensure_layout
from common.broker.models.store import BrokerRegistry
from common.broker.ownership import Commit, EventRecord, PartitionStore
from common.broker.plans import PlanStore
from common.broker.results import ResultWriter
from common.errors import BrokerUnavailableError, ConfigError
from common.models.registry import WorkerModels
from common.partition import Keys
from tests.brokers import fresh_keys
from tests.model_versions import make_version
from tests.topologies import cluster_node, form_cluster, port_of
from tests.waiting import soon, until

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three primaries without replicas; gives the URL."""
    folder = tmp_path_factory.mktemp("cluster")
    nodes = [cluster_node(folder, f"node{n}", "cluster-require-full-coverage yes", persist=False) for n in range(3)]
    with ExitStack() as stack:
        for node in nodes:
            node.password = "cluster-password"
            stack.enter_context(node)
        form_cluster(nodes, [connect(node.url) for node in nodes])
        yield "redis+cluster://:cluster-password@" + ",".join(f"127.0.0.1:{port_of(node)}" for node in nodes)


def test_b26_all_keys_of_a_partition_share_one_slot(keys: Keys) -> None:
    """One command and one script can reach a whole partition."""
    for camera in ("gate-1", "gate 2", "Tür{3}"):
        partition = keys.partition_of(camera)
        names = [keys.frames(camera), keys.results(partition), keys.owner(partition), keys.state(partition)]
        names += [keys.events(partition), keys.dead_letters(partition)]
        assert len({key_slot(name.encode()) for name in names}) == 1
    assert len({key_slot(keys.results(partition).encode()) for partition in range(keys.partitions)}) == keys.partitions


def test_b26_frames_are_read_across_all_nodes(cluster: str) -> None:
    """One reader serves cameras of every slot: fair, blocking, acknowledging, reclaiming, trimming."""
    client, keys = connect(cluster), fresh_keys(8)
    cameras = [f"cam{number}" for number in range(12)]
    assert len({keys.partition_of(camera) for camera in cameras}) > 3
    writer = FrameWriter(client, keys)
    reader = FrameReader(client, connect(cluster, blocking_s=2), keys, "w")
    reader.set_cameras(cameras)
    assert reader.read(1, 4, MIB, 0) == []
    for camera in cameras:
        writer.append(camera, b"0", b"x", 10)
    found = [entry for _ in range(3) for entry in reader.read(1, 4, MIB, 0)]
    assert sorted(entry.camera for entry in found) == sorted(cameras)
    reader.keepalive(found)
    assert reader.ack(found[:6]) == 6
    reader.hand_over(found[6:])
    heir = FrameReader(client, connect(cluster, blocking_s=2), keys, "heir")
    heir.set_cameras(cameras)
    assert {entry.deliveries for entry in heir.reclaim(10, 100)} == {2}
    assert set(reader.backlog().values()) == {0.0}
    started = time.monotonic()
    with soon(lambda: writer.append("cam5", b"1", b"x", 10)):
        assert [entry.header for entry in reader.read(1, 4, MIB, 2)] == [b"1"]
    assert time.monotonic() - started < 1.8
    assert sum(until(lambda: Janitor(client, keys).trim(cameras, 0.01), 2).values()) > 0


def test_b26_judging_works_across_all_nodes(cluster: str) -> None:
    """Leases, commits, results, events, plan and layout, on partitions of different nodes."""
    client, blocking, keys = connect(cluster), connect(cluster, blocking_s=1), fresh_keys(6)
    assert ensure_layout(client, keys.prefix, 6) == 6
    assert PlanStore(client, keys.prefix).publish(b"plan") == 1
    ResultWriter(client, keys).append_many([(partition, b"r%d" % partition) for partition in range(6)])
    store = PartitionStore(client, blocking, keys, "one")
    found = store.read(dict.fromkeys(range(6), "0-0"), 10, 1)
    assert sorted(payload for entries in found.values() for _, payload in entries) == [b"r%d" % n for n in range(6)]
    for partition, entries in found.items():
        lease = store.acquire(partition)
        assert lease is not None
        event = EventRecord(b"{}", "violation.started", "cam", f"id{partition}")
        store.commit(lease, Commit("0-0", entries[-1][0], [event], {"cam": b"s"}))
    assert sorted(store.owners()) == list(range(6))
    log = EventLog(client, blocking, keys)
    assert sorted(event.id for event in log.read(log.start_cursors("0"), 0, 10)) == [f"id{n}" for n in range(6)]
    assert log.read(log.start_cursors("now"), 0.05, 10) == []
    assert log.gaps(log.start_cursors("now")) == {}


def test_probe_looks_at_every_primary(cluster: str) -> None:
    """A cluster is as fit as its nodes."""
    facts = probe(connect(cluster), "frames")
    assert (facts.mode, facts.policy) == ("cluster", "noeviction")


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    """Nothing was sent, so nothing is in doubt; the error shows no password."""
    with pytest.raises(BrokerUnavailableError) as caught:
        connect(f"redis+cluster://:canary@127.0.0.1:{free_port()}")
    assert not caught.value.in_doubt
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError):
        connect("redis+cluster://:canary@")


def test_b26_the_model_registry_lives_in_one_slot(cluster: str, keys: Keys, tmp_path: Path) -> None:
    """Publishing, promoting, fetching and retiring work across a cluster."""
    registry = BrokerRegistry(connect(cluster), keys.prefix)
    refs = [registry.publish(make_version(tmp_path, name)) for name in ("7", "8")]
    assert registry.promote([refs[0]], 0, "ana", "").detector == refs[0]
    assert registry.fetch(refs[0], tmp_path / "cache").is_dir()
    registry.report("w", WorkerModels(1, refs[0], None, "openvino-cpu", "serving"))
    registry.retire(refs[1], "ana", "")
    assert registry.rollback("ana", "").generation == 2
    assert [entry.action for entry in registry.log(9)] == ["rolled_back", "retired", "promoted", *["published"] * 2]
    assert list(registry.workers()) == ["w"]
    assert registry.sweep() == 0
