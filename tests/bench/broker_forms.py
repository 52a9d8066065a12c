"""Frames brokers to compare: one server, or several that share the partitions as a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from tests.topologies import cluster_node, form_cluster, port_of

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What servers have done since they began: processor time, s, and commands, each server's at its place."""

    cpu_s: tuple[float, ...]
    commands: tuple[int, ...]

    def since(self, before: Usage) -> Usage:
        """Give what came on top."""
        return Usage(
            tuple(now - then for now, then in zip(self.cpu_s, before.cpu_s, strict=True)),
            tuple(now - then for now, then in zip(self.commands, before.commands, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class FramesBrokers:
    """Running servers that hold the frames of a station.

    Attributes:
        url: As ``MASKWATCH_FRAMES_URL`` names them.
        servers: One, or the nodes of a cluster.
        clients: One to each server, for questions about itself.
    """

    url: str
    servers: list[EmbeddedBroker]
    clients: list[Client]

    def usage(self) -> Usage:
        """Ask every server what it has done so far."""
        return Usage(
            tuple(_cpu_s(server.pid) for server in self.servers), tuple(_commands(client) for client in self.clients)
        )


@contextmanager
def frames_brokers(folder: Path, count: int) -> Iterator[FramesBrokers]:
    """Run one server, or ``count`` of them as a cluster, which writes nothing to disk."""
    with ExitStack() as stack:
        if count == 1:
            servers = [EmbeddedBroker(folder, persist=False, name="one")]
        else:
            servers = [cluster_node(folder, f"node{number}", persist=False) for number in range(count)]
        for server in servers:
            server.password = servers[0].password
            stack.enter_context(server)
        clients = [connect(server.url) for server in servers]
        for client in clients:
            stack.callback(client.close)
        url = servers[0].url
        if count > 1:
            form_cluster(servers, clients)
            places = ",".join(f"127.0.0.1:{port_of(server)}" for server in servers)
            url = f"redis+cluster://:{servers[0].password}@{places}"
        yield FramesBrokers(url, servers, clients)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _commands(client: Client) -> int:
    return int(dict(call(client, "INFO", "stats"))["total_commands_processed"])
