"""A scenario with a state broker that is replicated: Sentinel (10), under a running judge."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from common.broker.client import call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.errors import BrokerError
from common.partition import Keys
from tests.faults.feeding import PLAN, Feed, Reader, assert_all_well, fresh, judging
from tests.faults.trial import Finding, Scenario
from tests.faults.witness import Witness
from tests.topologies import port_of, replication_of, sentinels
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


SCENARIOS = (Scenario(10, "sentinel_failover", 10, alone=sentinel_failover),)
