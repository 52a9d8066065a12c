"""Brokers of several servers: what makes nodes a cluster, and sentinels that watch primaries."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.embedded.program import find_server
from common.broker.embedded.serverprocess import taken
from common.errors import BrokerError
from tests.waiting import until

SLOTS = 16384
_PORTS = range(15_000, 32_000)
_given: set[int] = set()


def quiet_port() -> int:
    """Find a port that nobody uses and that the system gives to no connection by itself: it is bound only later."""
    while (port := random.choice(_PORTS)) in _given or taken(port):
        pass
    _given.add(port)
    return port


def port_of(server: EmbeddedBroker) -> int:
    """Give a server's port."""
    return int(server.url.rpartition(":")[2].partition("/")[0])


def cluster_node(folder: Path, name: str, *settings: str, persist: bool = True) -> EmbeddedBroker:
    """Describe a node that is not yet part of a cluster."""
    node = EmbeddedBroker(folder, persist=persist, name=name, port=quiet_port())
    node.settings = ("cluster-enabled yes", f"cluster-port {quiet_port()}", *settings)
    return node


def bus_of(node: EmbeddedBroker) -> str:
    """Give the port at which the nodes of a cluster talk to this one."""
    return next(line.split()[1] for line in node.settings if line.startswith("cluster-port"))


def form_cluster(nodes: Sequence[EmbeddedBroker], clients: Sequence[Client]) -> None:
    """Make running nodes primaries of one cluster, in equal parts; each client is of the node at its place."""
    count = len(nodes)
    for number, client in enumerate(clients):
        call(client, "CLUSTER ADDSLOTSRANGE", number * SLOTS // count, (number + 1) * SLOTS // count - 1)
        call(client, "CLUSTER SET-CONFIG-EPOCH", number + 1)
    for client in clients[1:]:
        call(client, "CLUSTER MEET", "127.0.0.1", port_of(nodes[0]), bus_of(nodes[0]))
    for name, wanted in (("cluster_size", str(count)), ("cluster_state", "ok")):
        until(lambda name=name, wanted=wanted: all(_fact(one, name) == wanted for one in clients), 20)  # type: ignore[misc]


@contextmanager
def sentinels(folder: Path, watched: Mapping[str, int], settings: Sequence[str], count: int = 3) -> Iterator[list[int]]:
    """Run sentinels over services, each with the port of its primary; gives their ports.

    ``settings`` are lines for each of them, ``{service}`` stands for each service in turn.
    """
    processes, ports = [], []
    try:
        for number in range(count):
            home = folder / f"sentinel{number}"
            home.mkdir()
            ports.append(quiet_port())
            lines = [f"bind 127.0.0.1\nport {ports[-1]}\ndir {home}"]
            lines += [f"sentinel monitor {name} 127.0.0.1 {port} {count // 2 + 1}" for name, port in watched.items()]
            lines += dict.fromkeys(line.replace("{service}", name) for name in watched for line in settings)
            (home / "sentinel.conf").write_text("\n".join([*lines, ""]))
            with (home / "log").open("wb") as log:
                command = [str(find_server()), str(home / "sentinel.conf"), "--sentinel"]
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()


def replication_of(server: EmbeddedBroker) -> dict[str, object]:
    """Ask a server, as one who may do everything, about its replication; empty where it does not answer."""
    client = connect(server.url, timeout_s=1)
    try:
        return dict(call(client, "INFO", "replication"))
    except BrokerError:
        return {}
    finally:
        client.close()


def _fact(client: Client, name: str) -> str:
    return str(call(client, "CLUSTER INFO")[name])
