"""Scenarios with a state broker of several servers: Sentinel (10) and Cluster (11), under a running judge."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from common.broker.client import call, connect
from common.broker.embedded import EmbeddedBroker
from common.errors import BrokerError
from common.partition import Keys
from tests.faults.feeding import CAMERAS, PLAN, Feed, Reader, assert_all_well, behind, fresh, judging
from tests.faults.trial import Finding, Scenario
from tests.faults.witness import Witness
from tests.topologies import SLOTS, cluster_node, form_cluster, port_of, replication_of, sentinels
from tests.waiting import until

PASSWORD = "replica-password"
SENTINEL = (
    f"sentinel auth-pass {{service}} {PASSWORD}",
    "sentinel down-after-milliseconds {service} 2000",
    "sentinel failover-timeout {service} 10000",
)


def sentinel_failover(folder: Path) -> Finding:
    """10: the primary hangs, Sentinel names its replica, the old primary comes back as a replica."""
    keys = Keys("mw", 3)
    with ExitStack() as stack:
        servers = [EmbeddedBroker(folder, persist=True, name=f"server{number}") for number in range(2)]
        for number, server in enumerate(servers):
            server.password = PASSWORD
            server.settings = (f"masterauth {PASSWORD}",)
            if number:
                server.settings += (f"replicaof 127.0.0.1 {port_of(servers[0])}",)
            stack.enter_context(server)
        (port,) = stack.enter_context(sentinels(folder, {"state": port_of(servers[0])}, SENTINEL, count=1))
        url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{port}/state"
        until(lambda: _synchronised(servers[1]), 20)
        until(lambda: _pings(url), 20)
        stack.enter_context(judging(url, keys, folder))
        over = threading.Event()
        stack.callback(over.set)
        reader = Reader(url, keys, over)
        reader.start()
        feed = Feed(url, keys)
        stack.callback(feed.end)
        over.wait(6)
        stopped, since_ms = time.monotonic(), int(time.time() * 1000)
        os.kill(servers[0].pid, signal.SIGSTOP)
        stack.callback(os.kill, servers[0].pid, signal.SIGCONT)
        witness = Witness(servers[1].url, servers[1].url, keys, PLAN)
        stack.callback(witness.close)
        until(lambda: _role(servers[1]) == "master", 30)
        elected_s = time.monotonic() - stopped
        until(lambda: fresh(witness, since_ms), 60)
        recovery_s = time.monotonic() - stopped
        os.kill(servers[0].pid, signal.SIGCONT)
        until(lambda: _role(servers[0]) == "slave", 30)
        feed.join()
        lost = assert_all_well(witness)
        assert not reader.conflicts
        return Finding(recovery_s, f"new primary after {elected_s:.1f} s, {lost} results lost to replication lag")


def cluster_node_lost(folder: Path) -> Finding:
    """11: one of three nodes of a cluster is killed for ten seconds; how long the others wait is measured."""
    keys = Keys("mw", 8)
    with ExitStack() as stack:
        nodes = _cluster(folder, stack)
        url = f"redis+cluster://:{PASSWORD}@" + ",".join(f"127.0.0.1:{port_of(node)}" for node in nodes)
        stack.enter_context(judging(url, keys, folder))
        witness = Witness(url, url, keys, PLAN)
        stack.callback(witness.close)
        feed = Feed(url, keys)
        stack.callback(feed.end)
        pause = threading.Event()
        pause.wait(6)
        homes = {number: _home(nodes, keys.results(number)) for number in range(keys.partitions)}
        used = {keys.partition_of(camera) for camera in CAMERAS}
        site = _home(nodes, keys.site("plan"))
        victim = next(number for number in range(3) if number != site and number in {homes[one] for one in used})
        nodes[victim].kill()
        worst_s, died = 0.0, time.monotonic()
        while time.monotonic() - died < 10:
            pause.wait(0.2)
            for number in used:
                if homes[number] != victim:
                    worst_s = max(worst_s, _behind_alone(nodes[homes[number]], keys, number))
        nodes[victim].start()
        back, since_ms = time.monotonic(), int(time.time() * 1000)
        until(lambda: fresh(witness, since_ms), 60)
        recovery_s = time.monotonic() - back
        feed.join()
        lost = assert_all_well(witness)
        return Finding(recovery_s, f"the other nodes' partitions waited {worst_s:.1f} s too, {lost} results lost")


def _behind_alone(node: EmbeddedBroker, keys: Keys, partition: int) -> float:
    """Ask one node by itself: a client of the whole cluster may be looking for the lost one."""
    alone = Witness(node.url, node.url, keys, PLAN)
    try:
        return behind(alone, partition)
    finally:
        alone.close()


def _cluster(folder: Path, stack: ExitStack) -> list[EmbeddedBroker]:
    nodes = []
    for number in range(3):
        node = cluster_node(folder, f"node{number}", "cluster-node-timeout 2000", "cluster-require-full-coverage no")
        node.password = PASSWORD
        nodes.append(stack.enter_context(node))
    clients = [connect(node.url) for node in nodes]
    form_cluster(nodes, clients)
    for client in clients:
        client.close()
    return nodes


def _home(nodes: list[EmbeddedBroker], key: str) -> int:
    client = connect(nodes[0].url)
    slot = int(call(client, "CLUSTER KEYSLOT", key))
    client.close()
    return next(number for number in range(3) if slot < (number + 1) * SLOTS // 3)


def _synchronised(server: EmbeddedBroker) -> bool:
    return replication_of(server).get("master_link_status") == "up"


def _role(server: EmbeddedBroker) -> str:
    return str(replication_of(server).get("role", ""))


def _pings(url: str) -> bool:
    client = connect(url, timeout_s=1)
    try:
        return bool(call(client, "PING"))
    except BrokerError:
        return False
    finally:
        client.close()


SCENARIOS = (
    Scenario(10, "sentinel_failover", 10, alone=sentinel_failover),
    Scenario(11, "cluster_node_lost", 10, alone=cluster_node_lost),
)
