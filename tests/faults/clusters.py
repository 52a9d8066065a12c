"""Scenarios with brokers of several nodes and no replicas (11): what lives at the nodes that are left goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.broker.client import COMMAND_TIMEOUT_S, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.lag import broker_now_ms
from common.broker.reading import order_of
from common.partition import Keys
from tests.faults.build import Build
from tests.faults.feeding import CAMERAS, PLAN, Feed, assert_all_well, behind, fresh, judging
from tests.faults.invariants import broken
from tests.faults.rig import Rig
from tests.faults.trial import Finding, Scenario
from tests.faults.witness import Witness
from tests.topologies import SLOTS, cluster_node, form_cluster, port_of
from tests.waiting import until

PASSWORD = "cluster-password"
AWAY_S = 10.0
UNAFFECTED_S = 2.0
"""A partition that is this little behind, s, has noticed nothing: the lag that all scenarios allow."""
STATION = Build(cameras=tuple(f"door-{number}" for number in range(9)), fps=2.0, partitions=8)


class ClusterRig(Rig):
    """A station on two clusters of three nodes each.

    Attributes:
        nodes: The nodes of the ``frames`` and of the ``state`` broker.
    """

    def __init__(self, folder: Path, build: Build = STATION) -> None:
        super().__init__(folder, build)
        self.nodes: dict[str, list[EmbeddedBroker]] = {}

    def _open_brokers(self) -> tuple[str, str]:
        for endpoint in ("frames", "state"):
            self.nodes[endpoint] = _cluster(self.folder, endpoint, self._stack, persist=endpoint == "state")
        return self._urls()

    def _urls(self) -> tuple[str, str]:
        return _url(self.nodes["frames"]), _url(self.nodes["state"])

    def homes(self, endpoint: str) -> dict[str, int]:
        """Say at which node each camera lives."""
        nodes, keys = self.nodes[endpoint], self.keys
        return {name: _home(nodes, keys.owner(keys.partition_of(name))) for name in self.witness.cameras}

    def behind_s(self, camera: str) -> float:
        """Say how old the newest thing is that was judged of a camera's partition, s; there are several a second."""
        number = self.keys.partition_of(camera)
        state = self.witness.state
        judged = order_of(self.witness.store.load(number).offset)[0]
        return (broker_now_ms(state, self.keys.owner(number)) - judged) / 1000


def cluster_node_lost(folder: Path) -> Finding:
    """11: one of three nodes of a cluster is killed for ten seconds; how long the others wait is measured."""
    keys = Keys("mw", 8)
    with ExitStack() as stack:
        nodes = _cluster(folder, "node", stack)
        url = _url(nodes)
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
        assert worst_s < UNAFFECTED_S, f"the other nodes' partitions waited {worst_s:.1f} s"
        return Finding(recovery_s, f"the other nodes' partitions waited at most {worst_s:.1f} s, {lost} results lost")


@dataclass(frozen=True, slots=True)
class Loss:
    """How a node is lost.

    Attributes:
        endpoint: Whose node.
        node: Its place; the first has the lowest slots, and None stands for the one that holds the plan.
        hangs: It is stopped, so that every command runs into its deadline, rather than killed.
        behind_s: How far cameras at other nodes may fall behind, s.
    """

    endpoint: str
    node: int | None = 0
    hangs: bool = False
    behind_s: float = UNAFFECTED_S


def station_node_lost(loss: Loss, folder: Path) -> Finding:
    """11: a node of a cluster is away for ten seconds under a whole station; cameras of the others are judged on."""
    with ClusterRig(folder) as rig:
        nodes = rig.nodes[loss.endpoint]
        victim = _home(nodes, rig.keys.site("plan")) if loss.node is None else loss.node
        homes = rig.homes(loss.endpoint)
        others = [camera for camera, home in homes.items() if home != victim]
        assert 0 < len(others) < len(homes), f"cameras live at {homes}"
        rig.show()
        rig.pause(4)
        before = rig.sizes()
        with _away(nodes[victim], hangs=loss.hangs):
            worst_s = _watch(rig, others)
        back = time.monotonic()
        recovery_s = rig.recovered_in(back, 60)
        rig.pause(3)
        after = rig.sizes()
        rig.hide()
        found = broken(rig, before, after)
        assert not found, found
        assert worst_s < loss.behind_s, f"cameras at other nodes were {worst_s:.1f} s behind"
        return Finding(
            recovery_s, f"{len(others)} of {len(homes)} cameras, at other nodes, {worst_s:.1f} s behind at most"
        )


@contextmanager
def _away(node: EmbeddedBroker, *, hangs: bool) -> Iterator[None]:
    if hangs:
        os.kill(node.pid, signal.SIGSTOP)
    else:
        node.kill()
    try:
        yield
    finally:
        if hangs:
            os.kill(node.pid, signal.SIGCONT)
        else:
            node.start()


def _watch(rig: ClusterRig, cameras: list[str]) -> float:
    worst_s, died = 0.0, time.monotonic()
    while time.monotonic() - died < AWAY_S:
        rig.pause(0.2)
        worst_s = max(worst_s, *(rig.behind_s(camera) for camera in cameras))
    return worst_s


def _behind_alone(node: EmbeddedBroker, keys: Keys, partition: int) -> float:
    """Ask one node by itself: a client of the whole cluster may be looking for the lost one."""
    alone = Witness(node.url, node.url, keys, PLAN)
    try:
        return behind(alone, partition)
    finally:
        alone.close()


def _cluster(folder: Path, name: str, stack: ExitStack, *, persist: bool = True) -> list[EmbeddedBroker]:
    nodes = []
    for number in range(3):
        settings = ("cluster-node-timeout 2000", "cluster-require-full-coverage no")
        node = cluster_node(folder, f"{name}{number}", *settings, persist=persist)
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


def _url(nodes: list[EmbeddedBroker]) -> str:
    return f"redis+cluster://:{PASSWORD}@" + ",".join(f"127.0.0.1:{port_of(node)}" for node in nodes)


LOSSES = {
    "state_node_lost": Loss("state"),
    "plan_node_lost": Loss("state", None),
    "frames_node_lost": Loss("frames"),
    "state_node_hangs": Loss("state", 1, hangs=True, behind_s=UNAFFECTED_S + COMMAND_TIMEOUT_S),
    "frames_node_hangs": Loss("frames", 1, hangs=True, behind_s=UNAFFECTED_S + COMMAND_TIMEOUT_S),
}
SCENARIOS = (
    Scenario(11, "cluster_node_lost", 10, alone=cluster_node_lost),
    *(Scenario(11, name, 10, alone=partial(station_node_lost, loss)) for name, loss in LOSSES.items()),
)
